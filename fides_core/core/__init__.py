"""The base core: one file per pipeline stage or unit, with no knowledge of Xfides beyond the port in
``core.py``."""

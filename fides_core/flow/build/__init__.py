"""Bitstreams for boards: ``fides build``. docs/fpga.md says how it is used, and how a board is added."""

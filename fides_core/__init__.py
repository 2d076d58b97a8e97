"""Fides Core: an open RV64 core with FIDES compartments, and the tools around it."""

__version__ = "0.1.0"

"""The three FIDES units, one file each, and the port that joins them to the core."""

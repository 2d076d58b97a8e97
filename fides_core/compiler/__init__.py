"""``fides cc``: C for compartments and fat pointers, by clang and a pass plugin."""

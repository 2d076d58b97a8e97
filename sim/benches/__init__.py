"""cocotb benches of the security units, run by sim/test_*.py."""

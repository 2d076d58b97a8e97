"""AXI4 and AXI4-Lite: signatures, bridges, interconnect and the protocol checker."""

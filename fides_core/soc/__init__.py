"""The system around the core: memory, boot ROM, devices, and the top level."""

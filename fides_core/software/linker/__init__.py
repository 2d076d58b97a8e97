"""``fides ld``: objects, archives and a policy become an image for the monitor."""

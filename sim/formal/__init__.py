"""Tops and properties for formal verification; ``fides_core.flow.formal`` runs them, docs/formal.md explains
them. Nothing here becomes hardware."""

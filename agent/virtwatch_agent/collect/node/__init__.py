"""The node itself as a source of readings."""

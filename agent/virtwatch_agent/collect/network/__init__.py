"""Virtual networks as a source of readings."""

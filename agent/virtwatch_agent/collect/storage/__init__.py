"""Storage pools and their volumes as a source of readings."""

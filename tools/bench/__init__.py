"""Measure what virtwatch promises, on real parts: one JSON line per figure."""

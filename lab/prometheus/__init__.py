"""Prometheus itself: its rules must answer what virtwatch's do, and it must take what virtwatch sends."""

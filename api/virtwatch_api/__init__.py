"""Typed objects, catalogue and pure semantics of virtwatch. Imports nothing else of ours and does no I/O."""

__version__ = "0.1.0"

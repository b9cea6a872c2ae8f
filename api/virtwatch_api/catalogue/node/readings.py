"""The readings of a node: none yet."""

from virtwatch_api.catalogue.entries import Reading

READINGS: tuple[Reading, ...] = ()

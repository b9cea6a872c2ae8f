"""The readings of a virtual network: none yet."""

from virtwatch_api.catalogue.entries import Reading

READINGS: tuple[Reading, ...] = ()

"""The readings of a storage pool: none yet."""

from virtwatch_api.catalogue.entries import Reading

READINGS: tuple[Reading, ...] = ()

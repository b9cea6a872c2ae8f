"""How long a test that repeats something goes on: a sample in `make test`, the whole of it in `make soak`."""

import os

SOAKING = bool(os.environ.get("VIRTWATCH_SOAK"))


def times(sample: int, soak: int) -> int:
    """Return how often: `sample` in each run of the tests, `soak` under `make soak`, which runs tests marked `soak`."""
    return soak if SOAKING else sample

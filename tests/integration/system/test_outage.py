"""The API server is gone for long while things happen: what the agent kept of them is told when it is back."""

import time

import pytest

from tests.integration.system.watched import Watched
from tests.soak import times

OUTAGE_S = times(2, 2 * 60 * 60)
# An agent keeps the newest 10,000 transitions.
REST_S = times(0, 1)
DEADLINE_S = times(60, 60 * 60)


@pytest.mark.soak
def test_what_happened_in_an_outage_is_told_once_and_in_order_after_it(watched: Watched) -> None:
    control_plane = watched.system.control_plane
    control_plane.apiserver.kill()
    expected: list[str] = []
    end = time.monotonic() + OUTAGE_S
    while time.monotonic() < end:
        watched.pause()
        time.sleep(REST_S)
        watched.resume()
        expected += ["AlertCritical", "AlertResolved"]
    control_plane.apiserver.restart()
    control_plane.wait_ready()
    watched.wait_told(*expected, deadline=DEADLINE_S)
    assert len(set(watched.names)) == len(watched.names) == len(expected)

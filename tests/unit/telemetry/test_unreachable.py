import http.client

import pytest
import requests

from virtwatch_telemetry.channel import _unreachable

ENDS = {
    "it refuses connections": requests.ConnectionError("[Errno 111] Connection refused"),
    "its name does not resolve": requests.ConnectionError("Failed to resolve 'collector'"),
    "it does not answer in time": requests.ReadTimeout("read timed out"),
    "Remote end closed connection": requests.ConnectionError(
        http.client.RemoteDisconnected("Remote end closed connection")
    ),
}


@pytest.mark.parametrize("said", ENDS)
def test_each_way_in_which_a_backend_is_out_of_reach_is_named_and_tried_again(said):
    failure = _unreachable(ENDS[said])
    assert said in failure.detail
    assert failure.retryable


def test_they_are_all_one_outage():
    assert {_unreachable(error).what for error in ENDS.values()} == {"it cannot be reached"}


def test_a_defect_of_ours_is_none():
    failure = _unreachable(ValueError("no such thing"))
    assert (failure.what, failure.retryable) == ("the request failed: ValueError: no such thing", False)

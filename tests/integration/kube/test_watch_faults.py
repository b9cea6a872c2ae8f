# The watch against answers that a real API server gives rarely, or that come from something else in its place.
import logging
import time

import pytest

from lab.process import wait_for
from tests.integration.kube.recorder import synced, watching
from tests.integration.kube.scripted import ScriptedServer, event, item
from virtwatch_kube.watch import REFUSALS

PATH = "/apis/virtwatch.io/v1alpha1/thresholdsets"
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


def listed(version, *items):
    return 200, {}, {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


@pytest.fixture
def server(tmp_path):
    made = ScriptedServer(tmp_path)
    yield made
    made.close()


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def requests_within(server, seconds):
    """Count what is asked in a span of time from now on."""
    begun = time.monotonic()
    time.sleep(seconds)
    return sum(begun <= at < begun + seconds for at in server.times)


def test_a_stream_asks_for_bookmarks_and_an_end_and_begins_where_the_list_ended(server):
    with watching(PATH, server.client, labels="a=b") as (watch, _):
        synced(watch)
        wait_for(lambda: server.watched, what="a watch", deadline=30)
    (query,) = server.watched
    assert query["allowWatchBookmarks"] == "true"
    assert 240 <= int(query["timeoutSeconds"]) <= 360
    assert (query["resourceVersion"], query["labelSelector"]) == ("10", "a=b")
    assert "fieldSelector" not in query


def test_410_inside_a_stream_lists_anew_and_replaces_what_was_known(server, lines):
    server.lists = [listed(10, item("stays", 1), item("goes", 2)), listed(90, item("stays", 1), item("comes", 80))]
    server.watches = [[GONE], [None]]
    with watching(PATH, server.client) as (_, recorder):
        recorder.received("+stays", "+goes", "-goes", "+comes")
    assert lines() == []


def test_a_bookmark_moves_the_place_to_go_on_from(server):
    server.watches = [[event("BOOKMARK", "", 55)], [None]]
    server.lists = [listed(10), listed(60)]
    with watching(PATH, server.client):
        wait_for(lambda: len(server.watched) == 2, what="a second watch", deadline=30)
    assert [query["resourceVersion"] for query in server.watched] == ["10", "55"]


def test_a_name_that_was_given_anew_in_a_gap_is_a_deletion_and_a_new_object(server):
    old, new = item("a", 1), {"metadata": {"name": "a", "uid": "another", "resourceVersion": "50"}}
    server.lists = [listed(10, old), listed(90, new)]
    server.watches = [[GONE], [None]]
    with watching(PATH, server.client) as (_, recorder):
        recorder.received("+a", "-a", "+a")


def test_a_deletion_of_something_unknown_is_no_news(server):
    server.watches = [[event("DELETED", "unknown", 11), event("ADDED", "a", 12), None]]
    with watching(PATH, server.client) as (_, recorder):
        recorder.received("+a")


@pytest.mark.parametrize(
    "line",
    [b"no json\n", b"{}\n", b"[]\n", b'{"type": "ADDED", "object": {}}\n', b'{"type": "ADDED", "object": null}\n'],
)
def test_a_line_that_is_no_event_costs_one_line_in_the_log(server, lines, line):
    server.watches = [[line], [event("ADDED", "a", 20), None]]
    with watching(PATH, server.client) as (_, recorder):
        recorder.received("+a")
        wait_for(lambda: len(lines()) == 2, what="two lines in the log", deadline=30)
    lost, back = lines()
    assert "is lost" in lost
    assert "is back" in back


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"<html>please log in</html>"),
        (200, {}, b"[]"),
        (200, {}, {"items": [{"no": "metadata"}]}),
        (302, {"Location": "http://elsewhere.example.com/"}, b""),
        (500, {}, b"oops"),
        (503, {}, b""),
        (403, {}, {"kind": "Status", "reason": "Forbidden", "message": "no"}),
        (429, {"Retry-After": "1"}, b""),
    ],
)
def test_whatever_answers_in_its_place_is_said_once_and_not_flooded(server, lines, answer):
    good = server.lists[0]
    server.lists = [answer]
    with watching(PATH, server.client) as (watch, _):
        wait_for(lines, what="a line in the log", deadline=30)
        assert requests_within(server, 2.0) <= 8
        assert not watch.synced
        assert len(lines()) == 1
        server.lists = [good]
        synced(watch)
        wait_for(lambda: len(lines()) == 2, what="the line that it is back", deadline=30)


def test_streams_that_end_at_once_are_not_opened_in_a_flood(server, lines):
    server.watches = [[]]
    with watching(PATH, server.client) as (watch, _):
        synced(watch)
        assert requests_within(server, 3.0) <= 16
    assert lines() == []


def test_a_server_that_asks_for_a_pause_gets_it(server):
    server.lists = [(429, {"Retry-After": "2"}, b""), listed(10)]
    with watching(PATH, server.client) as (watch, _):
        synced(watch)
    first, second = server.times[:2]
    assert second - first >= 2.0


def test_a_half_open_stream_is_left_for_a_new_one_that_goes_on_where_it_was(server, lines, monkeypatch):
    monkeypatch.setattr("virtwatch_kube.stream.SILENCE_S", 4.0)  # longer than its server ever takes
    server.lists = [listed(10), listed(12)]
    server.watches = [[event("ADDED", "a", 12), None], [event("ADDED", "b", 13), None]]
    with watching(PATH, server.client) as (_, recorder):
        recorder.received("+a", "+b")
        assert server.watched[1]["resourceVersion"] == "12"
    assert lines() == []
    assert len([query for query in server.listed if query["limit"] != "1"]) == 1


def test_a_page_token_that_expires_begins_the_list_anew(server):
    page = 200, {}, {"metadata": {"resourceVersion": "10", "continue": "t"}, "items": [item("a", 1)]}
    server.lists = [page, (410, {}, {"kind": "Status", "reason": "Expired"}), page, listed(11, item("b", 2))]
    with watching(PATH, server.client) as (_, recorder):
        recorder.received("+a", "+b")
    assert [query.get("continue") for query in server.listed] == [None, "t", None, "t"]


def test_a_right_that_is_taken_away_is_asked_for_seldom_once_it_was_refused_a_few_times(server):
    server.lists = [(403, {}, {"message": "no"})]
    with watching(PATH, server.client, forbidden_delay=300.0):
        wait_for(lambda: len(server.times) == REFUSALS, what="a few attempts", deadline=60)
        assert requests_within(server, 3.0) == 0

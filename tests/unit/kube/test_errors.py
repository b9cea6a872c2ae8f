import json

import pytest

from virtwatch_kube.errors import (
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    NotServed,
    NotYetServed,
    Unavailable,
    refusal,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Expired),
        (422, Invalid),
        (429, Unavailable),
        (302, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_each_answer_has_its_kind_of_error(status, kind):
    assert type(refusal("GET /x", status, b"", {})) is kind


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"404 page not found\n"),
        (403, b'{"message": "x is forbidden: create not allowed while custom resource definition is terminating"}'),
    ],
)
def test_a_kind_that_is_not_there_or_going_is_told_from_an_object_that_is_not(status, body):
    assert type(refusal("GET /x", status, body, {})) is NotServed


def test_a_message_names_the_request_the_status_and_what_the_server_said():
    body = json.dumps({"kind": "Status", "reason": "AlreadyExists", "message": 'pods "a" already exists'}).encode()
    error = refusal("POST /api/v1/pods", 409, body, {})
    assert str(error) == 'POST /api/v1/pods: the API server answered 409 AlreadyExists: pods "a" already exists'
    assert (error.status, error.reason) == (409, "AlreadyExists")


@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b"\xff\xfe", b"[1]", b'{"message": 5}'])
def test_an_answer_that_is_no_status_is_still_told(body):
    assert "GET /x: the API server answered 502: " in str(refusal("GET /x", 502, body, {}))


def test_a_long_answer_is_cut():
    assert len(str(refusal("GET /x", 422, json.dumps({"message": "y" * 100_000}).encode(), {}))) < 1_200


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("", None), ("Mon, 23 Nov 2026 21:00:00 GMT", None)])
def test_retry_after_is_read_in_seconds(header, seconds):
    assert refusal("GET /x", 429, b"", {"Retry-After": header}).retry_after == seconds


def test_a_kind_whose_storage_is_being_set_up_is_there_in_a_moment():
    said = json.dumps({"reason": "TooManyRequests", "message": "storage is (re)initializing"}).encode()
    assert type(refusal("GET /x", 429, said, {"Retry-After": "1"})) is NotYetServed

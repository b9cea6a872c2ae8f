"""What KubeVirt tells of a guest's file systems, or why there is nothing."""

import pytest

from virtwatch_agent.collect.guest.kubevirt import KubeVirtGuests
from virtwatch_agent.collect.guest.reader import FILE_SYSTEMS, LOAD
from virtwatch_agent.observations import Domain, DomainState
from virtwatch_api.catalogue import absences
from virtwatch_kube.errors import Conflict, Forbidden, NotFound, Unavailable

GIB = 1 << 30
ROOT = {"diskName": "vda1", "mountPoint": "/", "fileSystemType": "ext4", "usedBytes": 3 * GIB, "totalBytes": 4 * GIB}


class Server:
    def __init__(self, answer) -> None:
        self.answer, self.asked = answer, []

    def get(self, path):
        self.asked.append(path)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def ask(answer, *, pod="pod-1"):
    server = Server(answer)
    reader = KubeVirtGuests(server, {"pod-1": ("shop", "web-1")}.get)
    return reader(Domain("u", "shop_web-1", "pod", "1", DomainState.RUNNING, pod_uid=pod)), server


def test_a_file_system_is_known_by_where_it_is_mounted():
    found, server = ask({"items": [ROOT]})

    assert found.values == {("filesystem.used", "/"): 3 * GIB, ("filesystem.size", "/"): 4 * GIB}
    [path] = server.asked
    assert path.endswith("/namespaces/shop/virtualmachineinstances/web-1/filesystemlist")


@pytest.mark.parametrize(
    "strange",
    [
        {**ROOT, "fileSystemType": "ISO9660"},
        {**ROOT, "fileSystemType": "squashfs"},
        {**ROOT, "totalBytes": 0},
        {**ROOT, "usedBytes": -1},
        {**ROOT, "mountPoint": "/\n"},
        {"mountPoint": "/"},
        "text",
    ],
)
def test_what_is_no_file_system_that_fills_is_left_out(strange):
    other = {**ROOT, "mountPoint": "/data"}

    assert {device for _, device in ask({"items": [strange, other]})[0].values} == {"/data"}
    assert ask({"items": [strange]})[0].unavailable["filesystem.used"] == absences.NO_FILE_SYSTEMS


def test_of_a_guest_with_very_many_the_first_are_read():
    items = [{**ROOT, "mountPoint": f"/{number:03}"} for number in range(100)]

    assert {device for _, device in ask({"items": items})[0].values} == {f"/{number:03}" for number in range(32)}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"items": None}, absences.NO_FILE_SYSTEMS),
        ([], absences.NO_FILE_SYSTEMS),
        (NotFound("no such VMI"), absences.NO_FILE_SYSTEMS),
        (Conflict("VMI does not have guest agent connected"), absences.NO_FILE_SYSTEMS),
        (Unavailable("answered 500: VMI does not have guest agent connected"), absences.NO_FILE_SYSTEMS),
        (Unavailable("no answer"), absences.KUBEVIRT_SILENT),
        (Conflict("VMI is not running"), absences.KUBEVIRT_SILENT),
        (Forbidden("may not"), absences.GUESTS_FORBIDDEN),
    ],
)
def test_a_guest_that_tells_nothing_is_said_why(answer, why):
    found, _ = ask(answer)

    assert found.values == {}
    assert {found.unavailable[key] for key in FILE_SYSTEMS} == {why}
    assert {found.unavailable[key] for key in LOAD} == {absences.NO_LOAD_IN_API}


@pytest.mark.parametrize("pod", [None, "pod-2"])
def test_one_that_kubevirt_does_not_run_is_not_asked_for(pod):
    found, server = ask({"items": [ROOT]}, pod=pod)

    assert set(found.unavailable.values()) == {absences.GUEST_NOT_ASKED}
    assert server.asked == []

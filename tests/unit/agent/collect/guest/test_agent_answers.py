"""What a guest agent says is outside our trust: of any type and size."""

import math
from types import SimpleNamespace

import pytest

from virtwatch_agent.collect.guest.agent import _FILE_SYSTEM_INFO, _figures, _file_systems, _load
from virtwatch_agent.observations import Domain, DomainState
from virtwatch_api.catalogue import absences

GIB = 1 << 30


def listed(**strange: object) -> dict[str, object]:
    root = {"mountpoint": "/", "fstype": "ext4", "used-bytes": 3 * GIB, "total-bytes": 4 * GIB, **strange}
    return {"fs.count": 1, **{f"fs.0.{key.replace('_', '-')}": value for key, value in root.items()}}


def test_a_file_system_is_known_by_where_it_is_mounted():
    assert _file_systems(listed()) == (
        {("filesystem.used", "/"): 3.0 * GIB, ("filesystem.size", "/"): 4.0 * GIB},
        {},
    )


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"fs.count": 1},
        {"fs.count": "many"},
        {"fs.count": 1 << 32},
        listed(mountpoint="/\x1b[2J"),
        listed(mountpoint=7),
        listed(fstype="iso9660"),
        {**listed(), "fs.0.total-bytes": 0},
        {**listed(), "fs.0.used-bytes": "all"},
    ],
)
def test_what_is_no_file_system_that_fills_is_unavailable(said):
    values, unavailable = _file_systems(said)

    assert values == {}
    assert set(unavailable) == {"filesystem.used", "filesystem.size"}


def test_a_name_that_is_no_utf8_costs_file_systems_alone():
    """As libvirt's binding does, which turns each name into a string."""

    def guest_info(types):
        return listed(mountpoint=b"/caf\xe9".decode()) if types == _FILE_SYSTEM_INFO else {"load.1m": 0.5}

    vm = SimpleNamespace(guestInfo=guest_info, info=lambda: [1, 0, 0, 2, 0])
    raw = SimpleNamespace(lookupByUUIDString=lambda _: vm, getLibVersion=lambda: 11_002_000)

    found = _figures(raw, Domain("1", "vm-1", "qemu:///system", "1", DomainState.RUNNING))

    assert found.values == {("guest.load.1m", ""): 0.5, ("guest.cpus", ""): 2.0}
    assert set(found.unavailable.values()) == {absences.NO_AGENT_FILE_SYSTEMS}


def test_a_load_is_three_numbers():
    said = {"load.1m": 0.5, "load.5m": 1.25, "load.15m": 2.0}

    assert _load(said) == {("guest.load.1m", ""): 0.5, ("guest.load.5m", ""): 1.25, ("guest.load.15m", ""): 2.0}


@pytest.mark.parametrize("strange", [math.nan, math.inf, -1.0, 1e300, "much", None])
def test_a_load_that_cannot_be_is_no_load(strange):
    assert _load({"load.1m": strange, "load.5m": 1.0}) == {("guest.load.5m", ""): 1.0}

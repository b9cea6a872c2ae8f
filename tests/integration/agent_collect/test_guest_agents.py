"""Guests that are asked through their guest agent: Debian's own, but for one that hangs, which is the lab's."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import libvirt
import pytest

from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from tests.integration.agent_collect.collected import Collected
from virtwatch_agent.collect.guest import agent
from virtwatch_agent.collect.guest import collector as guest_collector
from virtwatch_agent.collect.guest.agent import GuestAgents
from virtwatch_agent.collect.guest.collector import GuestCollector
from virtwatch_agent.collect.libvirt.collector import CollectSettings, LibvirtCollector
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.observations import Domain, DomainState, Sample
from virtwatch_api.catalogue import absences
from virtwatch_api.catalogue.readings import Source

MIB = float(1 << 20)
# The guest's disk of 16 MiB, with a file of 8 MiB: see lab/guests/init.sh.
MOUNTED = "/data"
LOAD = ("guest.load.1m", "guest.load.5m", "guest.load.15m", "guest.cpus")
LOAD_SINCE = 11_002_000  # libvirt's version; Debian's agent reports none in any
CollectGuests = Callable[[Path], Collected]


@pytest.fixture
def collect_guests(monkeypatch: pytest.MonkeyPatch) -> Iterator[CollectGuests]:
    """Start collectors that ask guests each moment; one counts as silent after a second."""
    monkeypatch.setattr(guest_collector, "ASK_EVERY_S", 0.2)
    monkeypatch.setattr(guest_collector, "ASK_SILENT_EVERY_S", 0.2)
    with ExitStack() as cleanup:

        def start(socket: Path) -> Collected:
            libvirts = LibvirtCollector(CollectSettings(host_socket=socket), time)
            collected = Collected(GuestCollector(libvirts, GuestAgents(libvirts.addresses, time), time, answer_s=1.0))
            cleanup.callback(collected.stop)
            return collected

        yield start


@pytest.fixture
def guest(linux_host: HostLibvirt) -> Iterator[Guest]:
    """Give the plain host's guest, without an agent at first and at last."""
    guest, *_ = linux_host.guests
    yield guest
    guest.end_agent()


def said(collected: Collected, guest: Guest, why: str) -> Sample:
    """Wait until a guest's file systems are unavailable for that reason."""
    return collected.sample(
        guest.uuid,
        Source.GUEST,
        since=collected.mark(),
        holding=lambda sample: not sample.values and sample.unavailable["filesystem.used"] == why,
    )


def test_a_guest_tells_its_file_systems_or_why_not_its_load(
    collect_guests: CollectGuests, linux_host: HostLibvirt, guest: Guest
) -> None:
    guest.run_agent()
    collected = collect_guests(linux_host.socket)
    collected.ask(guest.uuid, Source.GUEST)
    sample = collected.sample(guest.uuid, Source.GUEST, holding=lambda one: bool(one.values))

    used, size = (sample.values[f"filesystem.{key}", MOUNTED] for key in ("used", "size"))
    assert 8 * MIB <= used < size <= 16 * MIB
    assert len(sample.values) == 2  # the guest's other file systems are in its memory
    old = libvirt.open(linux_host.uri).getLibVersion() < LOAD_SINCE
    why = absences.NO_LOAD_IN_LIBVIRT if old else absences.NO_LOAD_IN_AGENT
    assert sample.unavailable == dict.fromkeys(LOAD, why)


def test_a_guest_whose_agent_comes_late_is_read_then(
    collect_guests: CollectGuests, linux_host: HostLibvirt, guest: Guest
) -> None:
    collected = collect_guests(linux_host.socket)
    collected.ask(guest.uuid, Source.GUEST)
    said(collected, guest, absences.GUEST_SILENT)

    guest.run_agent()
    collected.sample(guest.uuid, Source.GUEST, holding=lambda one: ("filesystem.used", MOUNTED) in one.values)


def test_an_agent_that_hangs_holds_up_nothing_else(
    collect_guests: CollectGuests, linux_host: HostLibvirt, guest: Guest
) -> None:
    guest.run_agent(silent=True)
    collected = collect_guests(linux_host.socket)
    collected.ask(guest.uuid, Source.GUEST, Source.BALLOON, Source.KERNEL)
    said(collected, guest, absences.GUEST_SILENT)
    for source in (Source.BALLOON, Source.KERNEL):
        since = collected.mark()

        def times(source: Source = source, since: int = since) -> list[float]:
            mine = [one for one in collected.all[since:] if isinstance(one, Sample) and one.target.id == guest.uuid]
            return [one.clock for one in mine if one.source is source]

        collected.wait(lambda _, times=times: len(times()) >= 4, f"four {source} samples")
        # libvirt itself waits 5 s for an agent: so long it would take at least.
        assert max(later - sooner for sooner, later in pairwise(times()[:4])) < 4.0

    guest.run_agent()
    collected.sample(guest.uuid, Source.GUEST, since=collected.mark(), holding=lambda one: bool(one.values))


def test_guests_that_hang_take_no_more_threads_of_libvirt_than_they_may(
    monkeypatch: pytest.MonkeyPatch, collect_guests: CollectGuests, linux_host: HostLibvirt, guest: Guest
) -> None:
    monkeypatch.setattr(agent, "_MOST_HANGING", 1)
    monkeypatch.setattr(agent, "_HANGS_S", 0.5)
    other = linux_host.add("bare-1", linux=False)
    try:
        guest.run_agent(silent=True)
        collected = collect_guests(linux_host.socket)
        collected.ask(guest.uuid, Source.GUEST)
        said(collected, guest, absences.GUEST_SILENT)
        collected.ask(other.uuid, Source.GUEST)
        said(collected, other, absences.GUESTS_HANG)

        guest.run_agent()
        said(collected, other, absences.GUEST_STANDS)
        other.resume()
        said(collected, other, absences.NO_GUEST_CHANNEL)
    finally:
        other.destroy()


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("test:///default", absences.NO_GUEST_QUESTIONS),
        ("qemu+unix:///system?socket=/nowhere/libvirt-sock", absences.GUEST_UNREACHED),
    ],
)
def test_a_libvirt_that_cannot_ask_says_so(uri: str, why: str) -> None:
    asks = GuestAgents([LibvirtAddress.of_uri(uri)], time)
    uuid = libvirt.open("test:///default").lookupByName("test").UUIDString()

    found = asks(Domain(uuid, "test", uri, "1", DomainState.RUNNING))

    assert (found.values, set(found.unavailable.values())) == ({}, {why})


def test_a_guest_elsewhere_is_not_asked() -> None:
    found = GuestAgents([], time)(Domain("u", "web", "pod/1", "1", DomainState.RUNNING))

    assert set(found.unavailable.values()) == {absences.GUEST_NOT_ASKED}


def test_a_read_only_connection_neither_asks_a_guest_nor_measures_its_dirty_rate(
    linux_host: HostLibvirt, guest: Guest
) -> None:
    """Why guests are asked on opt-in alone, and why virtwatch starts no measurement."""
    domain = libvirt.openReadOnly(linux_host.uri).lookupByUUIDString(guest.uuid)
    for refused in (lambda: domain.guestInfo(0), lambda: domain.startDirtyRateCalc(1)):
        with pytest.raises(libvirt.libvirtError) as raised:
            refused()
        assert raised.value.get_error_code() == libvirt.VIR_ERR_OPERATION_DENIED


def test_the_command_asks_guests_only_where_a_person_lets_it(linux_host: HostLibvirt, guest: Guest) -> None:
    guest.run_agent()

    def shown(*options: str) -> list[tuple[str, float | None, str]]:
        asked = ("signals", "vm.filesystem.utilization", "--connect", linux_host.uri, "--seconds=2", "--output=json")
        command = [sys.executable, "-m", "virtwatch_cli", *asked, *options]
        figures = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return [
            (item["device"], item["value"], item["unavailable"])
            for item in figures
            if item["target"]["id"] == guest.uuid
        ]

    assert shown() == [("", None, absences.GUEST_NOT_ASKED)]
    # An emulated guest answers slowly, on a busy machine more so.
    answers = (shown("--guest-agent", f"--seconds={seconds}") for seconds in (8, 30))
    [(device, share, unavailable)] = next(answer for answer in answers if answer[0][2] != absences.GUEST_SILENT)
    assert (device, unavailable) == (MOUNTED, "")
    assert share is not None
    assert 0.5 < share < 0.7

# One VM that two launchers of a node show: the old one's QEMU does not end. Time is the test's.
import sched
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.domains import Domains
from virtwatch_agent.collect.libvirt.endpoint import Endpoint, Runtime
from virtwatch_agent.collect.libvirt.events import LifecycleEvent, Turn
from virtwatch_agent.collect.libvirt.inspection import Inspection, Listing
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.inventory.gaps import DomainView
from virtwatch_agent.inventory.oom import OomKills
from virtwatch_agent.observations import Appeared, Domain, DomainState, FoundStopped, TargetEvent, Unwatched

RUNNING, PAUSED = DomainState.RUNNING, DomainState.PAUSED
LONG = 90.0  # seconds; longer than any restart's two QEMUs are there at once


class Node:
    def __init__(self) -> None:
        self.now = 1000.0
        self.all = []
        self.qemus = {}  # seconds since 1970, when each pod's was started
        self.runtime = Runtime(
            pool=SimpleNamespace(submit=lambda _: None),
            openings=None,
            post=None,
            timers=sched.scheduler(self.monotonic, self.wait),
            clock=self,
            deliver=lambda *observations: self.all.extend(observations),
            processes=None,
            keepalive=None,
            oom_kills=OomKills(Path("/nowhere")),
        )
        self.domains = Domains(self.runtime, lambda _: None)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while self.runtime.timers.queue and self.runtime.timers.queue[0].time <= end:
            self.now = max(self.now, self.runtime.timers.queue[0].time)
            self.runtime.timers.run(blocking=False)
        self.now = end

    def shows(
        self, pod: str, *, state: DomainState = RUNNING, reason: str = "booted", name: str = "shop_web"
    ) -> Endpoint:
        """Let a launcher come, with the VM in it."""
        target = LibvirtAddress.of_pod(pod, Path("/pods") / pod, "virtqemud-sock")
        endpoint = Endpoint(target, SimpleNamespace(inspect=print), new=True)
        self.listed(endpoint, state=state, reason=reason, name=name)
        return endpoint

    def listed(self, endpoint: Endpoint, *, state: DomainState, reason: str, name: str = "shop_web") -> None:
        endpoint.calls = line()
        domain = Domain(
            "a", name, endpoint.address.name, f"qemu-{endpoint.address.pod_uid}", state, endpoint.address.pod_uid
        )
        started = self.qemus.setdefault(endpoint.address.pod_uid, self.now)
        reader = SimpleNamespace(process=SimpleNamespace(started=started), alive=lambda: True, close=lambda: None)
        self.domains.opened(endpoint, Listing((Inspection(DomainView(domain, reason), Devices(), reader),), {}))

    def hears(self, endpoint: Endpoint, turn: Turn, reason: str) -> None:
        self.domains.received(endpoint, SimpleNamespace(UUIDString=lambda: "a"), LifecycleEvent(turn, reason), self.now)

    def ends(self, endpoint: Endpoint) -> None:
        endpoint.calls = None
        self.domains.gone(endpoint)

    @property
    def hidden(self) -> Mapping[str, str]:
        """Return the problem of each VM that cannot be watched, by its connection."""
        told = {one.connection: one.problem for one in self.all if isinstance(one, Unwatched)}
        return {connection: problem for connection, problem in told.items() if problem}

    @property
    def watched(self) -> str:
        return [one.domain.connection for one in self.all if isinstance(one, Appeared)][-1]

    def events(self) -> list[tuple[str, str | None]]:
        return [(one.type, one.attributes.get("reason")) for one in self.all if isinstance(one, TargetEvent)]


def line() -> SimpleNamespace:
    """Stand for an open connection that shows nothing when it is asked again."""
    connection = SimpleNamespace(domains={}, driver="QEMU", has_events=True)
    return SimpleNamespace(connection=connection, submit=lambda call: call.failed(OSError("not now")))


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_vm_whose_old_qemu_hangs_in_another_pod_is_said_not_to_be_watched_until_it_is(node: Node) -> None:
    old = node.shows("old")
    node.shows("new")
    node.pass_(LONG)

    assert list(node.hidden) == ["pod/new"]
    assert "VM shop_web runs twice on this node" in node.hidden["pod/new"]
    assert "pod old" in node.hidden["pod/new"]
    told = len(node.all)
    node.pass_(LONG)
    assert len(node.all) == told

    node.ends(old)
    assert node.hidden == {}
    assert node.watched == "pod/new"


def test_the_overlap_of_a_restart_is_no_trouble(node: Node) -> None:
    old = node.shows("old")
    node.shows("new")
    node.pass_(5.0)
    node.ends(old)
    node.pass_(LONG)

    assert not [one for one in node.all if isinstance(one, Unwatched)]
    assert node.events()[-2:] == [("vm.stopped", "lost"), ("vm.started", "booted")]
    assert node.watched == "pod/new"


def test_a_migration_within_the_node_is_no_trouble_however_long_it_takes(node: Node) -> None:
    source = node.shows("source")
    node.shows("target", state=PAUSED, reason="migration")
    node.pass_(LONG)
    node.hears(source, Turn.PAUSED, "postcopy")
    node.pass_(LONG)
    node.hears(source, Turn.STOPPED, "migrated")
    node.pass_(LONG)

    assert not [one for one in node.all if isinstance(one, Unwatched)]
    assert node.watched == "pod/target"


def test_a_migration_within_the_node_that_has_failed_leaves_what_hangs_to_be_said(node: Node) -> None:
    node.shows("source")
    target = node.shows("target", state=PAUSED, reason="migration")
    node.pass_(LONG)
    node.hears(target, Turn.RESUMED, "")
    node.pass_(LONG)

    assert list(node.hidden) == ["pod/target"]


def test_a_vm_whose_old_launcher_is_dead_is_watched_in_its_new_pod(node: Node) -> None:
    old = node.shows("old")
    old.calls = None  # its virtqemud was killed, its QEMU cannot be
    node.pass_(10.0)
    node.shows("new")
    node.pass_(LONG)

    assert node.watched == "pod/new"
    assert node.hidden == {}
    assert node.events()[-2:] == [("vm.stopped", "lost"), ("vm.started", "booted")]

    node.listed(old, state=RUNNING, reason="booted")  # its daemon is there again, and so is the old QEMU
    node.pass_(LONG)
    assert node.watched == "pod/new"
    assert list(node.hidden) == ["pod/old"]


def test_a_launcher_that_dies_after_it_was_said_gives_the_vm_to_its_new_pod(node: Node) -> None:
    old = node.shows("old")
    node.pass_(10.0)
    node.shows("new")
    node.pass_(LONG)
    assert list(node.hidden) == ["pod/new"]

    old.calls = None
    node.pass_(LONG)
    assert (node.watched, node.hidden) == ("pod/new", {})


def test_a_new_launcher_that_loses_its_daemon_does_not_give_the_vm_back_to_the_old_one(node: Node) -> None:
    old = node.shows("old")
    old.calls = None
    node.pass_(10.0)
    new = node.shows("new")
    node.pass_(LONG)
    node.listed(old, state=RUNNING, reason="booted")
    node.pass_(LONG)
    new.calls = None
    node.pass_(LONG)

    assert node.watched == "pod/new"


def test_the_end_of_a_vm_that_was_not_seen_is_told_to_who_may_have_known_it(node: Node) -> None:
    host = Endpoint(LibvirtAddress.of_uri("qemu:///system"), SimpleNamespace(inspect=print), new=False)
    host.calls = line()
    node.domains.opened(host, Listing((), {"b": "crashed", "c": "shutdown"}))
    node.hears(host, Turn.STOPPED, "failed")

    assert node.all == [
        FoundStopped("b", "qemu:///system", "crashed", crashed=True),
        FoundStopped("c", "qemu:///system", "shutdown", crashed=False),
        FoundStopped("a", "qemu:///system", "failed", crashed=True),
    ]


def inspected(node: Node, endpoint: Endpoint, *, reader: bool, problem: str = "") -> None:
    incarnation = "42-500" if reader else "id-3"
    domain = Domain("a", "web", endpoint.address.name, incarnation, RUNNING)
    process = SimpleNamespace(process=SimpleNamespace(started=1.0), alive=lambda: True, close=lambda: None)
    look = Inspection(
        DomainView(domain, "booted"), Devices(), process if reader else None, listed_as="id-3", problem=problem
    )
    node.domains.opened(endpoint, Listing((look,), {}))


def test_a_process_that_is_found_late_is_no_start(node: Node) -> None:
    endpoint = Endpoint(LibvirtAddress.of_uri("qemu:///system"), SimpleNamespace(inspect=print), new=False)
    endpoint.calls = line()
    inspected(node, endpoint, reader=False)
    inspected(node, endpoint, reader=True)
    assert node.events() == []


def test_a_lack_of_descriptors_is_a_blind_spot_and_no_event(node: Node) -> None:
    endpoint = Endpoint(LibvirtAddress.of_uri("qemu:///system"), SimpleNamespace(inspect=print), new=False)
    endpoint.calls = line()
    inspected(node, endpoint, reader=False, problem="VM web: no descriptors")
    assert list(node.hidden.values()) == ["VM web: no descriptors"]
    inspected(node, endpoint, reader=True)
    assert node.hidden == {}
    assert node.events() == []

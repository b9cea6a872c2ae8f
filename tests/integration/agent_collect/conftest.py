"""A collector on real libvirts, and what it delivers."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import libvirt
import pytest

from lab.guests.host import HostLibvirt
from lab.rundir import RunDir
from tests.integration.agent_collect.collected import Collected
from virtwatch_agent.collect.libvirt import domains
from virtwatch_agent.collect.libvirt.collector import CollectSettings, LibvirtCollector
from virtwatch_agent.collect.libvirt.event_loop import run_event_loop

Collect = Callable[..., Collected]
# libvirt's test driver, and its one domain.
URI = "test:///default"
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"


# For `call_deadline` where nothing hangs: a call that a busy machine delays is none that hangs.
PATIENT_S = 30.0
# The same where a VM hangs and others do not: so late none answers that is well, however busy the machine.
HANGS_S = 5.0


@pytest.fixture
def collect() -> Iterator[Collect]:
    """Start collectors; each is stopped with the test, within the 5 s that it promises."""
    with ExitStack() as cleanup:

        def start(**settings: object) -> Collected:
            collected = Collected(LibvirtCollector(CollectSettings(**settings), time))
            cleanup.callback(collected.stop)
            return collected

        yield start


@pytest.fixture
def unconfirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look no second time at what a new connection showed: what that finds before its event comes is inferred."""
    monkeypatch.setattr(domains, "_CONFIRM", ())


@pytest.fixture
def domain() -> Iterator[libvirt.virDomain]:
    """The test driver's one domain, running; a process shares its state among all connections that are open at once."""
    run_event_loop()
    connection = libvirt.open(URI)
    yield connection.lookupByUUIDString(UUID)
    connection.close()


@pytest.fixture
def bare_host(run: RunDir) -> Iterator[HostLibvirt]:
    """A plain host's libvirtd; guests without an operating system are added in half a second each."""
    host = HostLibvirt(run, name="bare")
    host.start(linux=False)
    yield host
    host.stop()

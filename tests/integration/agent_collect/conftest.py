"""A collector on real libvirts, and what it delivers."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lab.guests.host import HostLibvirt
from lab.rundir import RunDir
from tests.integration.agent_collect.collected import Collected
from virtwatch_agent.collect.libvirt.collector import CollectSettings, LibvirtCollector

Collect = Callable[..., Collected]


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
def bare_host(run: RunDir) -> Iterator[HostLibvirt]:
    """A plain host's libvirtd; guests without an operating system are added in half a second each."""
    host = HostLibvirt(run, name="bare")
    host.start(linux=False)
    yield host
    host.stop()

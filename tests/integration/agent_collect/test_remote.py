"""A libvirt over a slow link."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from lab.guests.host import HostLibvirt
from tests.integration.agent_collect import collected as plans
from tests.integration.agent_collect.conftest import Collect
from tests.integration.agent_collect.drivers import BHYVE, answer_as
from virtwatch_agent.observations import Appeared, ConnectionState, Sample
from virtwatch_api.catalogue.readings import Source

CALL_S = 4.5  # that one call may take: it takes little more than a second, however busy the machine
MANY = 110  # to list them takes longer
DELAY_S = 0.045


class SlowLink:
    """A Unix socket that passes on what it gets from a libvirt's, some time later."""

    def __init__(self, to: Path, path: Path) -> None:
        self._to = to
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed, or its libvirt was
            while True:
                near, _ = self._listening.accept()
                far = socket.socket(socket.AF_UNIX)
                with ExitStack() as opened:
                    opened.callback(near.close)
                    opened.callback(far.close)
                    far.connect(str(self._to))
                    opened.pop_all()
                threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()

    @staticmethod
    def _pass_on(near: socket.socket, far: socket.socket) -> None:
        with near, far, suppress(OSError):
            while True:
                for readable in select.select([near, far], [], [])[0]:
                    data = readable.recv(1 << 20)
                    if not data:
                        return
                    if readable is far:
                        time.sleep(DELAY_S)
                    (far if readable is near else near).sendall(data)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._thread.join()
        self._listening.close()


@pytest.fixture
def slow_uri(bare_host: HostLibvirt, tmp_path: Path) -> Iterator[str]:
    """Name a libvirt with many VMs behind a slow link."""
    domains = "".join(
        f"<domain type='test'><name>vm-{number}</name><memory>1024</memory><vcpu>1</vcpu><os><type>hvm</type></os>"
        "</domain>"
        for number in range(MANY)
    )
    (tmp_path / "node.xml").write_text(f"<node>{domains}</node>")
    with ExitStack() as cleanup:
        link = SlowLink(bare_host.socket, tmp_path / "slow")
        cleanup.callback(link.close)
        yield f"test+unix://{tmp_path}/node.xml?socket={tmp_path}/slow"


def test_many_vms_over_a_slow_link_are_no_trouble(
    collect: Collect, slow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call has a deadline of its own; altogether they take longer than one may."""
    monkeypatch.setattr(plans, "OFTEN", {Source.KERNEL: 5.0})
    collected = collect(uris=(slow_uri,), call_deadline=CALL_S)

    def sampled(all_: list) -> bool:
        return len({one.target for one in all_ if isinstance(one, Sample) and one.source is Source.KERNEL}) == MANY

    collected.wait(sampled, "samples of all VMs")
    assert len({one.domain.uuid for one in collected.all if isinstance(one, Appeared)}) == MANY
    assert not [one for one in collected.all if isinstance(one, ConnectionState) and one.problem]


def test_a_driver_without_bulk_calls_is_listed_in_parts(
    collect: Collect, slow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask for each VM's state alone takes longer than one call may."""
    answer_as(BHYVE, monkeypatch)
    monkeypatch.setattr(plans, "OFTEN", {})
    collected = collect(uris=(slow_uri,), call_deadline=CALL_S)

    collected.wait(
        lambda all_: len({one.domain.uuid for one in all_ if isinstance(one, Appeared)}) == MANY, "all VMs to appear"
    )
    assert not [one for one in collected.all if isinstance(one, ConnectionState) and one.problem]

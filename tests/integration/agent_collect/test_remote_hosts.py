"""A libvirt of another host, over TLS with certificates of a CA of its own, and over SSH: real daemons and guests."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.controlplane.pki import issue_client_certificate, issue_server_certificate, make_authority
from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt, Tls
from lab.guests.ssh import SshServer
from lab.process import free_port
from lab.rundir import RunDir
from tests.integration.agent_collect.conftest import PATIENT_S, Collect
from virtwatch_agent.collect.libvirt.connection import Keepalive
from virtwatch_agent.observations import ConnectionState
from virtwatch_api.catalogue.readings import Source

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="libvirt's system daemon needs root")
QUICK = Keepalive(interval=1, count=2)


class FarHost:
    """A plain host with one guest, which is reached by both ways."""

    def __init__(self, run: RunDir, cleanup: ExitStack) -> None:
        pki = make_authority(run.path / "far-pki")
        issue_server_certificate(pki, "libvirtd", names="IP:127.0.0.1,DNS:localhost")
        issue_client_certificate(pki, "client", subject="/CN=virtwatch-agent")
        port = free_port()
        tls = Tls(port, pki.key("libvirtd").read_text(), pki.certificate("libvirtd").read_text(), pki.ca.read_text())
        self.libvirt = HostLibvirt(run, name="far", tls=tls)
        self.libvirt.start(linux=False)
        cleanup.callback(self.libvirt.stop)
        ssh = SshServer(run, self.libvirt)
        ssh.start()
        cleanup.callback(ssh.stop)
        self.guest: Guest = self.libvirt.add("far-1", linux=False)
        self.uris = {"tls": f"qemu+tls://127.0.0.1:{port}/system?pkipath={self._pki_path(pki.folder)}", "ssh": ssh.uri}

    @staticmethod
    def _pki_path(folder: Path) -> Path:
        """Name the files as a client of libvirt looks for them."""
        for name, file in (("cacert", "ca.crt"), ("clientcert", "client.crt"), ("clientkey", "client.key")):
            (folder / f"{name}.pem").symlink_to(file)
        return folder


@pytest.fixture(scope="module")
def far(run: RunDir) -> Iterator[FarHost]:
    with ExitStack() as cleanup:
        yield FarHost(run, cleanup)


@pytest.fixture(params=["tls", "ssh"])
def uri(request: pytest.FixtureRequest, far: FarHost) -> str:
    return far.uris[request.param]


def test_another_hosts_libvirt_gives_figures_and_events(collect: Collect, far: FarHost, uri: str) -> None:
    collected, uuid = collect(uris=(uri,), call_deadline=PATIENT_S), far.guest.uuid
    kernel = collected.sample(uuid, Source.KERNEL)
    assert kernel.values["cpu.count", ""] == 1
    assert ("cpu.time", "0") in kernel.values
    assert ("memory.rss", "") not in kernel.values, "no QEMU process of it is read here, though it runs on this machine"
    assert ("disk.read.bytes", "vda") in collected.sample(uuid, Source.BLOCK).values
    assert ("memory.maximum", "") in collected.sample(uuid, Source.BALLOON).values
    since = collected.mark()
    far.guest.destroy()
    assert not collected.event(uuid, "vm.stopped", since=since).inferred
    far.guest.start()
    assert not collected.event(uuid, "vm.started", since=since).inferred
    assert not [one for one in collected.all if isinstance(one, ConnectionState) and one.problem]


def test_another_hosts_libvirt_that_dies_is_found_again(collect: Collect, far: FarHost, uri: str) -> None:
    collected = collect(uris=(uri,))
    collected.sample(far.guest.uuid, Source.BLOCK)
    since = collected.mark()
    far.libvirt.daemon.kill()
    collected.connection(uri, well=False, since=since)
    far.libvirt.daemon.start()
    collected.connection(uri, well=True, since=since)
    collected.sample(far.guest.uuid, Source.BLOCK, since=collected.mark())


def test_another_hosts_libvirt_that_stands_is_reported(collect: Collect, far: FarHost, uri: str) -> None:
    collected = collect(uris=(uri,), call_deadline=1.0, keepalive=QUICK)
    collected.sample(far.guest.uuid, Source.BLOCK)
    since = collected.mark()
    far.libvirt.daemon.freeze()
    try:
        # By a call that is overdue, or by the keepalive where nobody took note of that in time.
        assert re.search(
            "does not answer|the daemon stopped answering", collected.connection(uri, well=False, since=since).problem
        )
    finally:
        far.libvirt.daemon.thaw()
    collected.sample(far.guest.uuid, Source.BLOCK, since=collected.mark())


def test_a_client_without_a_valid_certificate_is_told_so(collect: Collect, far: FarHost, tmp_path: Path) -> None:
    uri = far.uris["tls"].partition("?")[0] + f"?pkipath={tmp_path}"
    problem = collect(uris=(uri,)).connection(uri, well=False).problem
    assert "cacert.pem" in problem

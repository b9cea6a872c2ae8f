"""An SSH server on a plain host of the lab, by which libvirt is reached from afar (qemu+ssh)."""

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

from lab.guests.host import HostLibvirt
from lab.process import Process, free_port, start, wait_for
from lab.rundir import RunDir
from tools.cache import build_log, cached
from tools.commands import run_logged
from tools.machine import ensure_packages
from tools.progress import step

# Unpacked, not installed: the package starts a server of the machine's.
PACKAGES = ("openssh-server", "libwrap0")
CLIENT_PACKAGES = ("openssh-client", "libvirt-clients")
LISTEN_DEADLINE_S = 60.0


class SshServer:
    """Lets root in by a key of its own; its client knows the server's key and no other."""

    def __init__(self, run: RunDir, host: HostLibvirt) -> None:
        self._run = run
        self._host = host
        self._folder = run.path / "ssh"
        self._port = 0
        self._process: Process | None = None

    @property
    def uri(self) -> str:
        """Name the host's libvirt by the way through this server."""
        return f"qemu+ssh://root@127.0.0.1:{self._port}/system?command={quote(str(self._client))}&no_tty=1"

    @property
    def _client(self) -> Path:
        return self._folder / "ssh"

    def start(self) -> None:
        """Start it; return when it lets the client in."""
        ensure_packages(CLIENT_PACKAGES)
        unpacked = cached("openssh-server", [Path(__file__)], _unpack)
        self._folder.mkdir(mode=0o700)
        self._port = free_port()
        for name in ("server", "client"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._folder / name)
        (self._folder / "sshd_config").write_text(self._config())
        self._write_client()
        namespace = self._host.daemon.namespace
        namespace.run("mkdir", "-p", "/run/sshd")
        for kind in ("", "-ro"):  # where virt-ssh-helper looks for them
            namespace.run("ln", "-sf", f"{self._host.socket_inside}{kind}", f"/run/libvirt/libvirt-sock{kind}")
        libraries = f"LD_LIBRARY_PATH={unpacked / 'usr/lib/x86_64-linux-gnu'}"
        command = ("env", libraries, unpacked / "usr/sbin/sshd", "-D", "-e", "-f", self._folder / "sshd_config")
        self._process = start("sshd", namespace.enter(*command), run_dir=self._run.path)
        wait_for(self._lets_in, what="the SSH server", deadline=LISTEN_DEADLINE_S, process=self._process, poll=0.1)

    def stop(self) -> None:
        """End it with all its connections."""
        if self._process is not None:
            self._process.kill()

    def _config(self) -> str:
        return f"""\
Port {self._port}
ListenAddress 127.0.0.1
HostKey {self._folder}/server
AuthorizedKeysFile {self._folder}/client.pub
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
"""

    def _write_client(self) -> None:
        known = self._folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self._port} {(self._folder / 'server.pub').read_text()}")
        options = f"-F none -i {self._folder}/client -o IdentitiesOnly=yes -o UserKnownHostsFile={known}"
        self._client.write_text(f'#!/bin/sh\nexec ssh {options} -o GlobalKnownHostsFile=none "$@"\n')
        self._client.chmod(0o700)

    def _lets_in(self) -> bool:
        command = (self._client, "-T", "-o", "BatchMode=yes", "-p", str(self._port), "root@127.0.0.1", "true")
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _unpack(folder: Path) -> None:
    with step(f"Downloading {PACKAGES[0]}", why="a server for tests of qemu+ssh, once"):
        # apt's own user may not enter the folder of root's download.
        command = ["apt-get", "--quiet", "--option=APT::Sandbox::User=root", "download", *PACKAGES]
        run_logged(command, log=build_log("openssh-server"), cwd=folder)
        for package in folder.glob("*.deb"):
            _run("dpkg-deb", "--extract", package, folder)
            package.unlink()


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, env=os.environ | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL)

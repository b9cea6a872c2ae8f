"""A QEMU that the kernel kills for lack of memory, and one that ends otherwise."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.guests.host import HostLibvirt
from lab.process import wait_for
from tests.integration.agent_collect.conftest import Collect

LEAST_BYTES = 4096


@pytest.fixture
def starved_group() -> Iterator[Path]:
    """Make a control group without memory: who is in it is killed at its next page."""
    [mine] = [
        line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line
    ]
    group = Path("/sys/fs/cgroup/memory") / mine.lstrip("/") / "virtwatch-starved"
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(LEAST_BYTES))
    yield group

    def removed() -> bool:
        with suppress(OSError):
            group.rmdir()
        return not group.exists()

    wait_for(removed, what=f"{group} to be empty", deadline=60.0)


def test_an_end_for_lack_of_memory_is_told_as_such(
    collect: Collect, bare_host: HostLibvirt, starved_group: Path
) -> None:
    guest = bare_host.add("starved", linux=False)
    collected = collect(host_socket=bare_host.socket)
    collected.appeared(guest.uuid)
    (starved_group / "cgroup.procs").write_text(str(guest.qemu_pid))
    with suppress(Exception):  # virsh fails where QEMU dies under it
        guest.resume()
    assert collected.event(guest.uuid, "vm.crashed").attributes == {"reason": "failed", "cause": "oom"}
    assert collected.event(guest.uuid, "vm.stopped").attributes == {"reason": "failed", "cause": "oom"}

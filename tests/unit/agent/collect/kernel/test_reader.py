# The kernel's files, laid out as /proc lays them out.
import signal
import subprocess
import time
from pathlib import Path

import pytest

from virtwatch_agent.collect.kernel.reader import KernelReader, NetworkCounters, Nic, ProcessGoneError
from virtwatch_agent.inventory.processes import QemuProcess

NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 5 5 0 0 0 0 0 0 5 5 0 0 0 0 0 0
 xtap0: 91 92 93 94 0 0 0 0 95 96 97 98 0 0 0 0
  tap0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
k6t-eth0: 7 7 7 7 0 0 0 0 7 7 7 7 0 0 0 0
vnet10:123 1 0 0 0 0 0 0 456 2 0 0 0 0 0 0
"""


@pytest.fixture
def process(tmp_path: Path) -> QemuProcess:
    (tmp_path / "statm").write_text("500000 2500 800 1 0 90000 0\n")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "dev").write_text(NET_DEV)
    threads = {}
    for number in range(2):
        threads[number] = tmp_path / "task" / str(100 + number)
        threads[number].mkdir(parents=True)
        (threads[number] / "schedstat").write_text(f"{(number + 1) * 1_500_000_000} 250000000 42\n")
    return QemuProcess(tmp_path, "100-1", 0.0, threads)


def read(process: QemuProcess, *nics: Nic) -> dict[tuple[str, str], float]:
    reader = KernelReader(process, nics, NetworkCounters())
    try:
        return reader.read(1.0)
    finally:
        reader.close()


def test_cpu_time_and_run_delay_are_seconds_for_each_vcpu(process):
    values = read(process)
    assert values["cpu.time", "0"] == pytest.approx(1.5)
    assert values["cpu.time", "1"] == pytest.approx(3.0)
    assert values["cpu.delay", "1"] == pytest.approx(0.25)
    assert values["cpu.count", ""] == 2


def test_resident_memory_is_bytes(process):
    assert read(process)["memory.rss", ""] == 2500 * 4096


def test_what_a_tap_received_the_guest_has_sent(process):
    values = read(process, Nic("tap0", host_view=False))
    assert values["network.transmit.bytes", "tap0"] == 1000
    assert values["network.transmit.packets", "tap0"] == 10
    assert values["network.transmit.errors", "tap0"] == 1
    assert values["network.transmit.drops", "tap0"] == 2
    assert values["network.receive.bytes", "tap0"] == 2000
    assert values["network.receive.packets", "tap0"] == 20
    assert values["network.receive.errors", "tap0"] == 3
    assert values["network.receive.drops", "tap0"] == 4


def test_a_macvtap_counts_as_the_guest_does(process):
    values = read(process, Nic("tap0", host_view=True))
    assert values["network.receive.bytes", "tap0"] == 1000


def test_only_the_domains_own_interfaces_are_read(process):
    devices = {device for key, device in read(process, Nic("tap0", host_view=False)) if key.startswith("network")}
    assert devices == {"tap0"}


def test_an_interface_is_found_where_the_kernel_leaves_no_space_after_its_name(process):
    assert read(process, Nic("vnet10", host_view=False))["network.transmit.bytes", "vnet10"] == 123


def test_an_interface_that_is_not_in_this_namespace_is_absent(process):
    assert not [key for key, _ in read(process, Nic("vnet1", host_view=False)) if key.startswith("network")]


def test_domains_that_are_sampled_at_one_instant_share_one_read(process):
    counters = NetworkCounters()
    readers = [KernelReader(process, [Nic("tap0", host_view=False)], counters) for _ in range(2)]
    series = ("network.transmit.bytes", "tap0")
    assert readers[0].read(1.0)[series] == 1000
    (process.folder / "net" / "dev").write_text(NET_DEV.replace("1000", "3000"))
    assert readers[1].read(1.0)[series] == 1000
    assert readers[1].read(2.0)[series] == 3000
    for reader in readers:
        reader.close()


def test_a_process_without_memory_is_gone(process):
    (process.folder / "statm").write_text("0 0 0 0 0 0 0\n")
    with pytest.raises(ProcessGoneError):
        read(process)


def test_a_process_that_ended_before_it_was_opened_is_gone(process):
    (process.folder / "statm").unlink()
    with pytest.raises(ProcessGoneError):
        read(process)


def test_a_file_that_is_missing_costs_its_own_figures_alone(process: QemuProcess) -> None:
    (process.folder / "net" / "dev").unlink()
    (process.vcpus[1] / "schedstat").unlink()
    values = read(process, Nic("tap0", host_view=False))
    assert set(values) == {("memory.rss", ""), ("cpu.count", ""), ("cpu.time", "0"), ("cpu.delay", "0")}


def test_a_qemu_whose_vcpus_share_a_thread_has_no_count_of_vcpus(process: QemuProcess) -> None:
    assert set(read(QemuProcess(process.folder, "100-1", 0.0, {}))) == {("memory.rss", "")}


def test_throttling_counts_from_when_the_vm_was_first_seen(process: QemuProcess, tmp_path: Path) -> None:
    stat = tmp_path / "cpu.stat"
    stat.write_text("nr_throttled 5\nthrottled_usec 1500000\n")
    limited = QemuProcess(process.folder, "100-1", 0.0, process.vcpus, (stat,))
    reader = KernelReader(limited, (), NetworkCounters())
    assert reader.read(1.0)["cpu.throttled", ""] == 0
    stat.write_text("nr_throttled 5\nthrottled_usec 3500000\n")
    assert reader.read(2.0)["cpu.throttled", ""] == pytest.approx(2.0)
    reader.close()
    assert ("cpu.throttled", "") not in read(process), "nobody can tell"


def test_what_the_kernel_writes_as_before_is_not_gathered_again(process: QemuProcess) -> None:
    reader = KernelReader(process, [Nic("tap0", host_view=False)], NetworkCounters())
    first = reader.read(1.0)
    assert reader.read(2.0) is first
    (process.vcpus[1] / "schedstat").write_text("3500000000 250000000 43\n")
    second = reader.read(3.0)
    assert first["cpu.time", "1"] == pytest.approx(3.0), "who holds it must not see it change"
    assert (second["cpu.time", "1"], list(second)) == (pytest.approx(3.5), list(first))
    (process.folder / "net" / "dev").write_text(NET_DEV.replace("1000", "3000"))
    assert reader.read(4.0)["network.transmit.bytes", "tap0"] == 3000
    reader.close()


def test_a_look_that_failed_leaves_nothing_behind(process: QemuProcess) -> None:
    """Memory was read, then a vCPU was not: the next look tells of both."""
    reader = KernelReader(process, (), NetworkCounters())
    reader.read(1.0)
    (process.folder / "statm").write_text("500000 2600 800 1 0 90000 0\n")
    assert reader.alive()
    (process.vcpus[0] / "schedstat").write_text("")
    with pytest.raises(ValueError, match="unpack"):
        reader.read(2.0)
    (process.vcpus[0] / "schedstat").write_text("1500000000 250000000 42\n")
    assert reader.read(3.0)["memory.rss", ""] == 2600 * 4096
    reader.close()


def test_a_process_that_is_stopped_says_so() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        reader = KernelReader(QemuProcess(Path(f"/proc/{process.pid}"), "1", 0.0, {}), (), NetworkCounters())
        seen = []
        for number, stopped in ((signal.SIGSTOP, True), (signal.SIGCONT, False)):
            process.send_signal(number)
            while reader.stopped() is not stopped:
                time.sleep(0.01)
            seen.append(reader.stopped())
        process.kill()
        process.wait()
        assert (*seen, reader.stopped()) == (True, False, False)
        reader.close()

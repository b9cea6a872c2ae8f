"""What a look at many real guests costs the node, side by side with the peers: agent, libvirtd and QEMU together."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lab.guests.host import HostLibvirt
from tools.bench import peers
from tools.bench.cost import cpu_seconds, resident
from tools.bench.crowd import Crowd, Kind, crowd, host
from tools.bench.figure import Figure
from tools.bench.history import Run, kept
from tools.bench.peers import LOOK_S, Peer
from tools.progress import note, step

GUESTS, RUNS, LOOKS, QUIET_S = 100, 3, 2, 10.0
KERNEL_S = 20.0
MS = 1e3
VIRTWATCH, EXPORTER = "virtwatch", "prometheus-libvirt-exporter"
NODE_GOAL_MS = {Kind.IDLE: 2.0, Kind.PAUSED: 1.4}
BUSY_SHARE_GOAL = 0.75
OWN_GOAL_MS = 0.2
KERNEL_GOAL_US = 40.0


@dataclass(frozen=True, slots=True)
class Used:
    """Hold CPU seconds: of who watches, of libvirtd, of all QEMUs; and the resident memory of who watches, MiB."""

    own: float
    libvirtd: float
    qemu: float
    memory: float = 0.0

    @property
    def node(self) -> float:
        return self.own + self.libvirtd + self.qemu


def looking_cost(
    *, guests: int = GUESTS, runs: int = RUNS, only: str = "", kinds: Sequence[Kind] = tuple(Kind)
) -> Iterator[Figure]:
    """Measure all peers on guests of each kind; medians of some runs."""
    everyone = [peers.virtwatch(peers.WANTED, interval=LOOK_S), peers.floor(), peers.exporter(), peers.collectd()]
    watched = [peer for peer in everyone if only in peer.name]
    with host() as libvirt:
        for kind in kinds:
            with crowd(libvirt, kind, guests) as found:
                yield from _figures(found, _measure(libvirt, found, watched, runs))
                if kind is Kind.IDLE and only in VIRTWATCH:
                    yield _kernel_files(libvirt, found, runs)


def _measure(libvirt: HostLibvirt, found: Crowd, watched: Sequence[Peer], runs: int) -> dict[str, list[Used]]:
    measured: dict[str, list[Used]] = {peer.name: [] for peer in watched}
    for run in range(runs):
        with step(f"Watching {len(found.names)} guests ({found.kind}), run {run + 1} of {runs}"):
            for peer in watched:
                quiet = _passing(found, None, QUIET_S, _nothing)
                folder = libvirt.daemon.spec.folder.parent / f"{found.kind}-{peer.name}-{run}".replace(" ", "-")
                with peer.watching(folder, found.uri) as (pid, look):
                    time.sleep(peer.settle_s)
                    used = _passing(found, pid, LOOKS * LOOK_S, look)
                seconds = LOOKS * LOOK_S / QUIET_S
                share = 1.0 / len(found.names) / LOOKS
                measured[peer.name].append(
                    Used(
                        used.own * share,
                        (used.libvirtd - quiet.libvirtd * seconds) * share,
                        (used.qemu - quiet.qemu * seconds) * share,
                        used.memory,
                    )
                )
                note(_told(peer.name, measured[peer.name][-1]))
    return measured


def _passing(found: Crowd, pid: int | None, seconds: float, look: Callable[[], None]) -> Used:
    """Return what was used in so many seconds, with a look each `LOOK_S`."""
    own, (libvirtd, qemu) = 0.0 if pid is None else cpu_seconds(pid), found.used()
    begun = time.monotonic()
    for number in range(1, int(seconds // LOOK_S) + 1):
        look()
        time.sleep(max(0.0, begun + number * LOOK_S - time.monotonic()))
    later, (libvirtd_later, qemu_later) = 0.0 if pid is None else cpu_seconds(pid), found.used()
    memory = 0.0 if pid is None else resident(pid)
    return Used(later - own, libvirtd_later - libvirtd, qemu_later - qemu, memory)


def _figures(found: Crowd, measured: dict[str, list[Used]]) -> Iterator[Figure]:
    who = f"{len(found.names)} {found.kind} guests, {LOOK_S} s"
    node = {name: statistics.median(used.node for used in all_) * MS for name, all_ in measured.items()}
    for name, all_ in measured.items():
        goal = NODE_GOAL_MS.get(found.kind) if name == VIRTWATCH else None
        if name == VIRTWATCH and found.kind is Kind.BUSY and EXPORTER in node:
            goal = BUSY_SHARE_GOAL * node[EXPORTER]
        detail = "; ".join(_told(name, used) for used in all_)
        yield Figure(
            name=f"a look at disks and balloon, {name}, {who}",
            value=node[name],
            unit="ms of node CPU per VM",
            goal=goal,
            detail=detail,
        )
        yield Figure(
            name=f"its own part, {name}, {who}",
            value=statistics.median(used.own for used in all_) * MS,
            unit="ms of CPU per VM",
            goal=OWN_GOAL_MS if name == VIRTWATCH else None,
            detail=f"{all_[-1].memory:.0f} MiB resident",
        )


def _told(name: str, used: Used) -> str:
    return f"{name}: own {used.own * MS:.2f} + libvirtd {used.libvirtd * MS:.2f} + QEMU {used.qemu * MS:.2f} ms"


def _kernel_files(libvirt: HostLibvirt, found: Crowd, runs: int) -> Figure:
    peer = peers.virtwatch(peers.CHEAP, interval=1)
    values = []
    for run in range(runs):
        with peer.watching(libvirt.daemon.spec.folder.parent / f"kernel-{run}", found.uri) as (pid, _):
            time.sleep(peer.settle_s)
            before, begun = cpu_seconds(pid), time.monotonic()
            time.sleep(KERNEL_S)
            values.append((cpu_seconds(pid) - before) / (time.monotonic() - begun) / len(found.names) * 1e6)
    return Figure(
        name=f"kernel files, {len(found.names)} guests, 1 s, {len(peers.CHEAP)} rules",
        value=statistics.median(values),
        unit="µs of own CPU per VM and look",
        goal=KERNEL_GOAL_US,
        detail=", ".join(f"{value:.0f}" for value in values),
    )


def _nothing() -> None:
    """Look at nothing."""


def main() -> None:
    """Measure alone what `make bench` measures with all else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guests", type=int, default=GUESTS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--only", default="")
    parser.add_argument("--kinds", nargs="*", type=Kind, default=tuple(Kind))
    for figure in kept(looking_cost(**vars(parser.parse_args())), run=Run.here()):
        print(figure.line(), flush=True)


if __name__ == "__main__":
    main()

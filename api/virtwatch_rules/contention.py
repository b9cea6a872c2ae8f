"""Who gained the CPU time that a target waits for: from looks at all threads of a host, with names and shares."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

MOST_NAMED = 3
_LEAST_SHARE = 0.05  # of the CPUs' time: less explains nothing
# Where the target's own limit keeps it waiting for this share of its wait, nobody else is to blame.
_OWN_LIMIT = 0.5


class Thread(NamedTuple):
    """Hold a thread at a look: the process that it belongs to, its CPU time so far in seconds, and its last CPU."""

    process: int
    seconds: float
    cpu: int


@dataclass(frozen=True, slots=True)
class Look:
    """Hold all threads of a host at an instant (monotonic seconds), by their number."""

    at: float
    threads: Mapping[int, Thread]


@dataclass(frozen=True, slots=True)
class Gain:
    """Hold who had how large a share of the CPUs' time, 0 to 1."""

    name: str
    share: float
    virtual_machine: bool


@dataclass(frozen=True, slots=True)
class Contention:
    """Hold what happened on the CPUs that a target may use; `own` is its own share of their time."""

    cpus: frozenset[int]
    seconds: float
    own: float
    gains: tuple[Gain, ...]

    @property
    def text(self) -> str:
        """Say it in a sentence; empty when nobody stands out."""
        if not self.gains:
            return ""
        who = _and([f"{gain.name} ({gain.share:.0%})" for gain in self.gains])
        return f"{who} had the time of {_cpus(self.cpus)}, of which it had {self.own:.0%} itself"


def contention(
    looks: Sequence[Look],
    *,
    target: int,
    cpus: frozenset[int],
    machines: Mapping[int, str],
    names: Mapping[int, str],
) -> Contention:
    """Say who had the time of `cpus`, those that the process `target` may use, between the first and the last look.

    Time between two looks counts for the CPU on which a thread was seen last. `machines` names the processes that are
    VMs, `names` all others; processes of one name count together.
    """
    elapsed = looks[-1].at - looks[0].at if looks else 0.0
    used: dict[tuple[str, bool], float] = defaultdict(float)
    own = 0.0
    for before, after in pairwise(looks):
        for number, thread in after.threads.items():
            earlier = before.threads.get(number)
            if thread.cpu not in cpus or earlier is None or earlier.process != thread.process:
                continue
            gained = max(0.0, thread.seconds - earlier.seconds)
            if thread.process == target:
                own += gained
            else:
                machine = machines.get(thread.process)
                name = machine or names.get(thread.process, f"process {thread.process}")
                used[name, machine is not None] += gained
    whole = elapsed * len(cpus)
    if whole <= 0:
        return Contention(cpus, elapsed, 0.0, ())
    gains = [Gain(name, seconds / whole, machine) for (name, machine), seconds in used.items()]
    gains = sorted((gain for gain in gains if gain.share >= _LEAST_SHARE), key=lambda gain: (-gain.share, gain.name))
    return Contention(cpus, elapsed, own / whole, tuple(gains[:MOST_NAMED]))


def own_limit(*, delay: float, throttled: float) -> bool:
    """Return whether a target's own CPU limit is why it waits: both are shares of time."""
    return throttled >= _OWN_LIMIT * (delay + throttled) and throttled > 0


def read_cpu_list(text: str) -> frozenset[int]:
    """Read a list of CPUs as the kernel writes it: "0-3,8".

    Raises:
        ValueError: it is none.
    """
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _cpus(cpus: Iterable[int]) -> str:
    """Write CPUs as the kernel does."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    written = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"CPU {written}" if len(runs) == 1 and len(runs[0]) == 1 else f"CPUs {written}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

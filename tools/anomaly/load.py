"""Synthetic load of VMs with faults put into it: what the detector is measured on where labels must be certain."""

import math
import random
from dataclasses import dataclass

MINUTE = 60.0
DAY = 86400.0
SIGNALS = ("vm.cpu.utilization", "vm.disk.write.rate", "vm.network.receive.rate", "vm.memory.rss")
FAULTS = ("spike", "level shift", "ramp", "unusual hour", "flatline", "wild swings")
_LENGTHS = {"spike": 6, "level shift": 180, "ramp": 300, "unusual hour": 180, "flatline": 180, "wild swings": 120}


@dataclass(frozen=True, slots=True)
class Fault:
    """Say what was put in, from when to when (seconds since 1970)."""

    kind: str
    begin: float
    end: float


@dataclass(slots=True)
class Load:
    """Hold a VM's values, one a minute and signal, and its faults."""

    times: list[float]
    values: dict[str, list[float]]
    faults: list[Fault]


def load(seed: int, *, days: int, first_fault_day: int | None, every_days: float = 2.0) -> Load:
    """Make a VM: day and night, weekends, a nightly job, autocorrelated noise, bursts; None for no faults."""
    rng = random.Random(seed)
    minutes = days * 1440
    times = [index * MINUTE for index in range(minutes)]
    demand = _demand(rng, minutes)
    values = {signal: _signal(rng, signal, demand) for signal in SIGNALS}
    made = Load(times, values, [])
    if first_fault_day is not None:
        _break(rng, made, first_fault_day, every_days)
    return made


def _demand(rng: random.Random, minutes: int) -> list[float]:
    """Return the share of its capacity that the VM is asked for, 0 to 1."""
    base, swing, weekend = rng.uniform(0.1, 0.35), rng.uniform(0.0, 0.4), rng.uniform(0.3, 1.0)
    peak, job_at, job = rng.uniform(9, 18), rng.randrange(0, 300), rng.uniform(0, 0.3)
    noise = slow = burst = 0.0
    found = []
    for minute in range(minutes):
        hour, day = minute / 60 % 24, minute // 1440
        wave = max(0.0, math.cos((hour - peak) / 24 * 2 * math.pi)) ** 1.5
        if (day + 4) % 7 in (0, 6):
            wave *= weekend
        noise = 0.7 * noise + rng.gauss(0, 0.02)
        slow = 0.999 * slow + rng.gauss(0, 0.001)
        if rng.random() < 1 / 700:
            burst = rng.expovariate(1 / 0.12)
        burst *= 0.8
        nightly = job if 0 <= minute % 1440 - job_at < 25 else 0.0
        found.append(min(1.0, max(0.005, base + swing * wave + noise + slow + burst + nightly)))
    return found


def _signal(rng: random.Random, signal: str, demand: list[float]) -> list[float]:
    scale, spread = rng.uniform(0.6, 1.0), rng.uniform(0.03, 0.12)
    if signal == "vm.memory.rss":
        level, held = 4 * 2**30, demand[0]
        found = []
        for share in demand:
            held += (share - held) / 240
            found.append(level * (0.5 + 0.3 * held + rng.gauss(0, 0.002)))
        return found
    top = 1.0 if signal == "vm.cpu.utilization" else rng.choice((20, 80, 300)) * 2**20
    return [max(0.0, top * min(1.0, scale * share * math.exp(rng.gauss(0, spread)))) for share in demand]


def _break(rng: random.Random, made: Load, first_day: int, every_days: float) -> None:
    begin = first_day * 1440 + rng.randrange(1440)
    kinds = list(FAULTS)
    while begin < len(made.times) - 600:
        if not kinds:
            kinds = list(FAULTS)
        kind = kinds.pop(rng.randrange(len(kinds)))
        if kind == "unusual hour":
            begin = begin - begin % 1440 + rng.randrange(60, 240)  # 01:00 to 04:00
        length = _LENGTHS[kind]
        for signal in rng.sample(SIGNALS[:3], rng.choice((1, 2))):
            _put(rng, made.values[signal], kind, begin, length)
        made.faults.append(Fault(kind, made.times[begin], made.times[begin + length]))
        begin += int(every_days * 1440 * rng.uniform(0.7, 1.3))


def _put(rng: random.Random, values: list[float], kind: str, begin: int, length: int) -> None:
    past = sorted(values[begin - 7 * 1440 : begin])
    low, middle, high = (past[int(share * (len(past) - 1))] for share in (0.02, 0.5, 0.98))
    span = max(high - low, 0.02 * abs(middle))
    still = values[begin]
    for index in range(length):
        old = values[begin + index]
        match kind:
            case "spike" | "level shift":
                new = old + span
            case "ramp":
                new = old + 1.5 * span * index / length
            case "unusual hour":
                new = max(old, high * rng.uniform(0.85, 1.0))
            case "flatline":
                new = still
            case _:
                new = max(0.0, old + rng.choice((-1, 1)) * 0.5 * span)
        values[begin + index] = new

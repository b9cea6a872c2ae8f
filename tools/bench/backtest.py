"""What judging a day's recording costs: `virtwatch backtest` over 200 VMs under 30 rules."""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tools.bench.figure import Figure
from tools.errors import ToolError
from tools.progress import step

VMS, RULES, HOURS, INTERVAL_S = 200, 30, 24, 15
GOAL_S = 60.0
START = 1_796_000_010
SIGNALS = {
    "vm.cpu.utilization": "",
    "vm.cpu.delay.ratio": "",
    "vm.memory.headroom.ratio": "",
    "vm.memory.rss": "",
    "vm.disk.read.rate": "vda",
    "vm.disk.write.rate": "vda",
    "vm.disk.write.latency": "vda",
    "vm.network.receive.rate": "net0",
    "vm.network.transmit.rate": "net0",
    "vm.network.receive.packets.rate": "net0",
}
FUNCTIONS = (("Last", None), ("Avg", "5m"), ("Max", "1m"))
_CHOICES = 1009  # values of a series, again and again: a prime, so that no two series of a VM go alike
_USUAL, _HIGH = 0.999, 3.0  # a value in a thousand is so many times the others


def backtest_cost(*, hours: float = HOURS) -> Iterator[Figure]:
    """Measure a day's recording from the start of the command to its end, the page with the charts included."""
    with tempfile.TemporaryDirectory(prefix="virtwatch-backtest-") as folder:
        recording, policy, page = (Path(folder, name) for name in ("samples.jsonl", "policy.yaml", "page.html"))
        policy.write_text(json.dumps(_policy()))
        with step(f"Writing a recording of {hours:g} h of {VMS} VMs"), recording.open("w", encoding="utf-8") as file:
            for lines in _recording(int(hours * 3600 / INTERVAL_S)):
                file.write(lines)
        command = Path(sys.executable).with_name("virtwatch")
        with step(f"Judging it by {RULES} rules"):
            began = time.monotonic()
            done = subprocess.run(
                [command, "backtest", policy, "--samples", recording, "--html", page],
                check=True,
                capture_output=True,
                text=True,
            )
            took = time.monotonic() - began
        size = recording.stat().st_size / 2**20
    if f"of {VMS} in the recording" not in done.stdout or "Would have fired 0 times" in done.stdout:
        raise ToolError(f"virtwatch backtest does not judge what it should: {done.stdout[-300:]!r}")
    values = VMS * len(SIGNALS) * int(hours * 3600 / INTERVAL_S)
    yield Figure(
        name=f"virtwatch backtest, {hours:g} h x {VMS} VMs x {RULES} rules",
        value=took,
        unit="s",
        goal=GOAL_S * hours / HOURS,
        detail=f"wall; {values:,} values each {INTERVAL_S} s, {size:.0f} MiB, rules on {len(SIGNALS)} signals: "
        + ", ".join(f"{name} {window or ''}".strip() for name, window in FUNCTIONS),
    )


def _policy() -> dict[str, object]:
    rules = [
        {
            "name": f"rule-{number:02}",
            "threshold": {
                "signal": signal,
                "aggregate": {"function": function, **({"window": window} if window else {})},
                "warning": {_side(signal): _bound(signal)},
                "for": "1m",
            },
        }
        for number, (signal, (function, window)) in enumerate(
            (signal, function) for signal in SIGNALS for function in FUNCTIONS
        )
    ]
    return {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "ClusterMonitorPolicy",
        "metadata": {"name": "bench"},
        "spec": {"collection": {"interval": f"{INTERVAL_S}s"}, "rules": rules},
    }


def _side(signal: str) -> str:
    return "below" if "headroom" in signal else "above"


def _bound(signal: str) -> str:
    return {"vm.memory.headroom.ratio": "0.05", "vm.disk.write.latency": "50ms"}.get(
        signal, "0.9" if signal.endswith(("utilization", "ratio")) else "900"
    )


def _recording(instants: int) -> Iterator[str]:
    """Yield the lines of an instant at once, as `virtwatch record` writes them."""
    rng = random.Random(1)
    usual = [f"{rng.uniform(0.1, 0.6):.6f}" for _ in range(_CHOICES)]
    usual[0] = "2000.0"
    heads = [
        f',"target":"shop/web-{number}","signal":"{signal}","device":"{device}","value":'
        for number in range(VMS)
        for signal, device in SIGNALS.items()
    ]
    for instant in range(instants):
        begin = f'{{"time":{START + instant * INTERVAL_S}.0'
        yield "".join(
            f"{begin}{head}{usual[(instant * 31 + place * 17) % _CHOICES]}}}\n" for place, head in enumerate(heads)
        )

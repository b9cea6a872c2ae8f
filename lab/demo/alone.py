"""The first act, told while Kubernetes is built: the agent alone, on this machine's libvirt."""

import sys
from collections.abc import Callable
from pathlib import Path

from lab.demo.teller import Teller
from lab.guests.guest import Guest
from lab.process import start, wait_for, wait_resting
from lab.rundir import RunDir
from tools.checkout import CHECKOUT
from tools.progress import step

POLICY = "manifests/examples/watch/laptop.yaml"
DEADLINE_S = 180.0


def watch_alone(run: RunDir, guest: Guest, *, uri: str, teller: Teller) -> None:
    """Let `virtwatch watch` see a guest become busy and calm again, and show what it printed."""
    teller.chapter("Meanwhile: virtwatch without Kubernetes, on a guest of this machine's libvirt")
    with step(f"Waiting for Linux to boot in {guest.name}", why="beside the compilers, emulated"):
        guest.wait_ready(DEADLINE_S)
        # Else an alert fires on what its boot left, and ends before the story begins.
        wait_resting(guest.qemu_pid, what=guest.name, deadline=DEADLINE_S)
    command: list[str | Path] = [
        Path(sys.executable).with_name("virtwatch"),
        "watch",
        "-f",
        CHECKOUT / POLICY,
        "--connect",
        uri,
    ]
    watch = start("virtwatch-watch", command, run_dir=run.path)
    try:

        def wait(what: str, condition: Callable[[str], bool]) -> None:
            what = f"virtwatch watch to print {what}"
            wait_for(lambda: condition(watch.log.read_text()), what=what, deadline=DEADLINE_S, process=watch)

        wait("what it watches", lambda printed: f"{guest.name}  running" in printed)
        guest.busy(cpu=True)
        wait("an alert", lambda printed: "Resolved" not in _newest_turn(printed, guest))
        guest.calm()
        wait("its end", lambda printed: "Resolved" in _newest_turn(printed, guest))
    finally:
        watch.stop()
    teller.say(f"$ virtwatch watch -f {POLICY} --connect {uri}")
    teller.block(watch.log.read_text().splitlines())
    teller.say("The rest needs what is still being built.")


def _newest_turn(printed: str, guest: Guest) -> str:
    """Return the last line about an alert of the guest; a busy machine may print more than one fires and one ends."""
    return ([line for line in printed.splitlines() if f"{guest.name}  cpu-busy: " in line] or ["Resolved"])[-1]

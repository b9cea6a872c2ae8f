"""The first act, told while Kubernetes is built: the agent alone, on this machine's libvirt."""

import sys
from pathlib import Path

from lab.demo.teller import Teller
from lab.guests.guest import Guest
from lab.process import start, wait_for
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
        for cause, words in (
            (None, f"{guest.name}  running"),
            (True, f"{guest.name}  cpu-busy: "),
            (False, "Resolved  "),
        ):
            if cause is not None:
                guest.busy(cpu=True) if cause else guest.calm()
            what = f"virtwatch watch to print {words.strip()!r}"
            wait_for(lambda: words in watch.log.read_text(), what=what, deadline=DEADLINE_S, process=watch)  # noqa: B023
    finally:
        watch.stop()
    teller.say(f"$ virtwatch watch -f {POLICY} --connect {uri}")
    teller.block(watch.log.read_text().splitlines())
    teller.say("The rest needs what is still being built.")

"""Find the guests of a kept run again, from another process: the run's folder remembers what made them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.guests.launcher import Launcher
from lab.keep import newest_kept
from lab.rundir import RunDir
from tools.errors import ToolError

FILE = "guests.json"


def remember(run: RunDir, *, launchers: Iterable[Launcher], host: HostLibvirt) -> None:
    """Write down the guests of a run, all of which run Linux."""
    kept = {
        "launchers": [launcher.described for launcher in launchers],
        "host": [guest.name for guest in host.guests],
    }
    (run.path / FILE).write_text(json.dumps(kept))


def find_guest(name: str) -> Guest:
    """Return a guest of the run that this checkout kept last. A VM of KubeVirt's shape goes by its VMI's name."""
    guests = _guests(_newest())
    if name not in guests:
        raise ToolError(f"No guest is called {name}: there are {', '.join(guests)}.")
    return guests[name]


def _newest() -> RunDir:
    run = newest_kept(FILE)
    if run is None:
        raise ToolError("No guests are up: make demo KEEP=1 leaves some running.")
    return run


def _guests(run: RunDir) -> dict[str, Guest]:
    kept = json.loads((run.path / FILE).read_text())
    found = {entry["vmi"]: _attached(run, entry) for entry in kept["launchers"]}
    host = HostLibvirt(run)
    host.attach(kept["host"])
    return found | {guest.name: guest for guest in host.guests}


def _attached(run: RunDir, entry: dict[str, Any]) -> Guest:
    launcher = Launcher(run, **{**entry, "pods_dir": Path(entry["pods_dir"])})
    launcher.attach()
    return launcher.guest

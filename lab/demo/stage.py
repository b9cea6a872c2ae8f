"""What a story is told on: parts that run, two VMs to bring into trouble and out of it, and a third beside them."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from lab.backend.backend import Backend
from lab.controlplane.cluster import ControlPlane
from lab.rundir import RunDir

NAMESPACE = "shop"
# What the example policy selects.
LABELS = {"tier": "web"}
BUSY, BROKEN, PLAIN = "web-1", "web-2", "billing"
# For virtwatch's environment. Metrics each 5 s, not each minute: people watch.
SOON = {"OTEL_METRIC_EXPORT_INTERVAL": "5000", "VIRTWATCH_EXPORT_INTERVAL": "5s"}
# As libvirt calls them, and so the backend.
DOMAINS = (f"{NAMESPACE}_{BUSY}", f"{NAMESPACE}_{BROKEN}", PLAIN)


class Stage(Protocol):
    """All parts of one demo, behind what the story does with them."""

    run: RunDir
    control_plane: ControlPlane
    backend: Backend
    promise: Sequence[str]
    """Sentences: what is real on it, and how long that takes."""
    setting: Sequence[str]
    """Sentences: what the VMs are, and where they run."""
    while_full: Sequence[str]
    """Sentences: what else happens to the broken VM while its disk has no room."""
    kinds: str
    """What the VMs are to Kubernetes, as kubectl get takes it."""
    watchers: Sequence[Sequence[str]]
    """What kubectl get is asked for to show who watches them."""

    def start(self) -> None:
        """Start everything; return when the guests have booted and virtwatch runs."""

    def check(self) -> None:
        """Raise ToolError when a part that the story stands on has ended by itself."""

    def load(self) -> None:
        """Let the busy VM compute."""

    def calm(self) -> None:
        """Let it be idle again."""

    def fill(self) -> None:
        """Let the broken VM write until there is no room; return when QEMU has paused it on the I/O error."""

    def mend(self) -> None:
        """Make room for the broken VM and let it go on."""

    def remember(self) -> Mapping[str, str]:
        """Leave what `python -m lab guest` needs after this process; return variables for a person's shell."""

    def suggestions(self) -> Sequence[tuple[str, str]]:
        """Return commands, each with its meaning, that bring the VMs into trouble and out of it."""


@runtime_checkable
class Moves(Protocol):
    """What a stage with a second node can do beside that."""

    def move(self) -> str:
        """Move the busy VM to another node while it runs; return that node."""

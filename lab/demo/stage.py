"""What the story is told on: parts that run, two VMs to bring into trouble and out of it, and a third beside them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from lab.backend.backend import Backend
from lab.controlplane.cluster import ControlPlane
from lab.demo.teller import Teller
from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.rundir import RunDir
from tools.progress import step

NAMESPACE = "shop"
# What the example policy selects.
LABELS = {"tier": "web"}
BUSY, BROKEN, PLAIN = "web-1", "web-2", "billing"
# For virtwatch's environment. Metrics each 5 s, not each minute: people watch.
SOON = {"OTEL_METRIC_EXPORT_INTERVAL": "5000", "VIRTWATCH_EXPORT_INTERVAL": "5s"}
GUEST = ".venv/bin/python -m lab guest"


class Stage(ABC):
    """All parts of one demo, behind what the story does with them."""

    promise: Sequence[str]
    """Sentences: what is real on it, and how long that takes."""
    setting: Sequence[str]
    """Sentences: what the VMs are, and where they run."""
    kinds: str
    """What the VMs are to Kubernetes, as kubectl get takes it."""
    watchers: Sequence[Sequence[str]]
    """What kubectl get is asked for to show who watches them."""
    moves = False
    """Whether there is a second node to which `move()` moves the busy VM."""
    control_plane: ControlPlane
    plain: Guest

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.backend = Backend(run)
        self.host = HostLibvirt(run)

    @abstractmethod
    def start(self, teller: Teller) -> None:
        """Build what no cache holds and start everything; return when the guests have booted and virtwatch runs."""

    @abstractmethod
    def check(self) -> None:
        """Raise ToolError when a part that the story stands on has ended by itself."""

    @abstractmethod
    def load(self) -> None:
        """Let the busy VM compute, however busy the machine is."""

    @abstractmethod
    def calm(self) -> None:
        """Let it be idle again."""

    @abstractmethod
    def fill(self) -> None:
        """Let the broken VM write until there is no room; return when QEMU has paused it on the I/O error."""

    @abstractmethod
    def mend(self) -> None:
        """Make room for the broken VM and let it continue."""

    def move(self) -> str:
        """Move the busy VM to another node while it runs; return that node."""
        raise NotImplementedError

    @abstractmethod
    def keep(self) -> Mapping[str, str]:
        """Leave what `python -m lab guest` needs after this process; return variables for a person's shell."""

    @abstractmethod
    def suggestions(self) -> Sequence[tuple[str, str]]:
        """Return commands, each with its meaning, that bring the VMs into trouble and out of it."""

    def start_backend(self) -> None:
        """Start Jaeger."""
        with step("Starting Jaeger"):
            self.backend.start()

    def start_host(self) -> None:
        """Start a libvirtd as a plain host has it, with one guest."""
        with step(f"Starting a libvirtd with the guest {PLAIN}"):
            self.host.start()
            self.plain = self.host.add(PLAIN)

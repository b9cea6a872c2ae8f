"""What both stages of the story share: names, a backend, and a plain host's libvirt with one guest."""

from lab.backend.backend import Backend
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


class Parts:
    """What is the same with and without nodes."""

    plain: Guest

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.backend = Backend(run)
        self.host = HostLibvirt(run)

    def start_backend(self) -> None:
        with step("Starting Jaeger"):
            self.backend.start()

    def start_host(self) -> None:
        with step(f"Starting a libvirtd with the guest {PLAIN}"):
            self.host.start()
            self.plain = self.host.add(PLAIN)

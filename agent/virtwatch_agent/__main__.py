"""The agent's process: settings, the parts, and how it ends."""

import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from virtwatch_agent.collect.cost import CostMeter, measure_process
from virtwatch_agent.collect.guest.agent import guest_agents
from virtwatch_agent.collect.guest.kubevirt import KubeVirtGuests
from virtwatch_agent.collect.kernel.threads import ProcThreads
from virtwatch_agent.collect.libvirt.collector import CollectSettings, LibvirtCollector
from virtwatch_agent.collect.network.attachments import AttachmentCollector
from virtwatch_agent.collect.network.definitions import Definitions
from virtwatch_agent.collect.sources import all_sources
from virtwatch_agent.config import AgentSettings
from virtwatch_agent.core.core import Core
from virtwatch_agent.journal.store import Journal
from virtwatch_agent.kubernetes.clones import Clones
from virtwatch_agent.kubernetes.explanations import Explanations
from virtwatch_agent.kubernetes.reporter import NodeMonitorReporter
from virtwatch_agent.kubernetes.thresholds import KubernetesThresholds
from virtwatch_agent.telemetry.agent_telemetry import AgentTelemetry
from virtwatch_api import __version__
from virtwatch_api.catalogue.readings import Instrument
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import KubeError
from virtwatch_process.descriptors import raise_descriptor_limit
from virtwatch_process.ending import Ending
from virtwatch_process.health import HealthServer
from virtwatch_process.outages import Outages
from virtwatch_telemetry.providers import Providers, set_up

if TYPE_CHECKING:
    from virtwatch_agent.telemetry.targets_page import TargetsPage
    from virtwatch_telemetry.page import Page

logger = logging.getLogger("virtwatch.agent")

_CORE_SILENCE_S = 30.0  # after which the core's loop counts as stuck; it turns each 5 s at least
_CORE_HANGS_S = 8.0  # after which the agent is not ready: the operator says so within 30 s
_END_S = 4.5  # for all of an end, so that it takes less than 5 s
_FLUSH_S = 2.0  # of it, for the last telemetry


def main() -> int:
    """Run the agent until SIGTERM (0), or refuse wrong settings (2)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    settings = AgentSettings.from_environment(os.environ)
    if not isinstance(settings, AgentSettings):
        for problem in settings:
            logger.error("%s", problem)
        return 2
    try:
        client = KubeClient.from_environment()
    except (KubeError, OSError) as error:
        logger.error("The agent cannot start: %s", error)
        return 2
    raise_descriptor_limit()
    ending = Ending()
    page, targets = _pages(settings)
    resource = _resource(settings, os.environ)
    providers = set_up("virtwatch-agent", resource_attributes=resource, env=os.environ, page=page)
    if page is not None:
        try:
            page.serve(settings.export.metrics_port)
        except OSError as error:
            logger.error("cannot listen on port %d for Prometheus: %s", settings.export.metrics_port, error.strerror)
            return 2
    _run(settings, client, AgentTelemetry(providers, time, settings.export, page=targets), providers, ending)
    return 0


def _pages(settings: AgentSettings) -> "tuple[Page | None, TargetsPage | None]":
    """Return the page for Prometheus, and what it shows of targets; none where no port is set."""
    if not settings.export.metrics_port:
        return None, None
    # They import the SDK and Prometheus' client, which no agent needs otherwise.
    from virtwatch_agent.telemetry.targets_page import TargetsPage
    from virtwatch_telemetry.page import Page

    page, targets = Page(), TargetsPage(settings.export, time.monotonic)
    page.more.append(targets)
    return page, targets


def _run(
    settings: AgentSettings, client: KubeClient, telemetry: AgentTelemetry, providers: Providers, ending: Ending
) -> None:
    outages = Outages()
    reporter = NodeMonitorReporter(
        client=client, node=settings.node, tracer=providers.tracer("virtwatch.report"), outages=outages
    )
    cost = CostMeter(time, budget=settings.cpu_budget)
    libvirt = LibvirtCollector(_collect(settings), time, cost)
    thresholds = KubernetesThresholds(
        client=client,
        node=settings.node,
        state_dir=settings.state_dir,
        operator_namespace=settings.namespace,
        outages=outages,
        on_new_node_monitor=reporter.refresh,
    )
    core = Core(
        node=settings.node,
        collector=all_sources(
            libvirt,
            libvirt,
            time,
            cost,
            proc=settings.proc,
            sys=settings.sys,
            addresses=libvirt.addresses,
            guests=KubeVirtGuests(
                client,
                thresholds.vmi_of,
                otherwise=guest_agents(libvirt.addresses, time, asked=settings.guest_agent),
            ),
            attached=lambda networks, bridges: AttachmentCollector(
                networks, thresholds.attachments, Definitions(client), bridges, time
            ),
        ),
        thresholds=thresholds,
        reporter=reporter,
        telemetry=telemetry,
        journal=Journal(settings.state_dir),
        threads=ProcThreads(settings.proc),
        clock=time,
        new_epoch=lambda: uuid.uuid4().hex[:12],
        cost=cost.read,
        export_interval=settings.export_interval,
        burst=settings.transition_burst,
    )
    telemetry.observe("process.cpu.time", "s", lambda: measure_process()[0], instrument=Instrument.COUNTER)
    telemetry.observe("process.memory.usage", "By", lambda: measure_process()[1])
    telemetry.observe("virtwatch.agent.scan.duration", "s", lambda: cost.read().scan)
    telemetry.observe("virtwatch.agent.sample.lateness", "s", lambda: cost.read().lateness)
    telemetry.observe(
        "virtwatch.agent.libvirt.calls", "{call}", lambda: cost.read().calls, instrument=Instrument.COUNTER
    )
    telemetry.observe("virtwatch.agent.domain.stuck", "{vm}", lambda: cost.read().stuck)
    telemetry.observe("virtwatch.agent.slowdown", "1", lambda: cost.read().slowdown.monitor)
    health = HealthServer(
        settings.health_port,
        {"/healthz": lambda: {"core": _alive(core)}, "/readyz": lambda: {"policies": _ready(core)}},
    )
    health.start()
    reporter.start()
    core.start()
    explanations = Explanations(
        client=client, node=settings.node, operator_namespace=settings.namespace, outages=outages
    )
    explanations.start(core.deliver)
    clones = Clones(client=client, outages=outages)
    clones.start(core.deliver)
    logger.info("virtwatch agent %s watches node %s", __version__, settings.node)
    ending.wait()

    def end() -> None:
        explanations.stop()
        clones.stop()
        core.stop()
        reporter.stop()
        health.stop()
        providers.shutdown(_FLUSH_S)

    # What hangs in libvirt or in the network is left behind: what matters is on disk since it was judged.
    thread = threading.Thread(target=end, name="end", daemon=True)
    thread.start()
    thread.join(_END_S)


def _collect(settings: AgentSettings) -> CollectSettings:
    return CollectSettings(
        uris=settings.libvirt_uris,
        pods_dir=settings.pods_dir,
        launchers_only=True,
        host_socket=settings.libvirt_socket,
        proc=settings.proc,
        sys=settings.sys,
    )


def _resource(settings: AgentSettings, env: Mapping[str, str]) -> Mapping[str, str]:
    given = {"k8s.namespace.name": env.get("POD_NAMESPACE"), "k8s.pod.name": env.get("POD_NAME")}
    return {
        "service.version": __version__,
        "service.instance.id": settings.node,
        "k8s.node.name": settings.node,
        **{name: value for name, value in given.items() if value},
    }


def _alive(core: Core) -> str:
    return _silence(core, at_most=_CORE_SILENCE_S)


def _silence(core: Core, *, at_most: float) -> str:
    silence = time.monotonic() - core.alive_at
    return f"silent for {silence:.0f} s" if silence > at_most else ""


def _ready(core: Core) -> str:
    if silence := _silence(core, at_most=_CORE_HANGS_S):
        return silence
    return "" if core.ready else core.waiting or "not known yet: is the API server reached?"


if __name__ == "__main__":
    sys.exit(main())

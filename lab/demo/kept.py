"""Leave the demo's stage running for a person to play with, and say how."""

from pathlib import Path

from lab.demo.stage import BROKEN, BUSY, NAMESPACE, PLAIN, Stage
from lab.guests.kept import remember
from lab.keep import keep
from lab.rundir import CHECKOUT


def keep_for_a_person(stage: Stage) -> list[str]:
    """Keep the run, write `.lab/env`, and return the lines that say what can be done now."""
    remember(stage.run, launchers=[stage.busy.launcher, stage.broken.launcher], host=stage.host)
    variables = {
        "KUBECONFIG": str(stage.control_plane.kubeconfig),
        "OTEL_EXPORTER_OTLP_ENDPOINT": stage.backend.otlp_http,
        "JAEGER": stage.backend.ui,
        "METRICS": stage.backend.metrics_url,
        "LIBVIRT_HOST": stage.host.uri,
        "LIBVIRT_WEB_1": stage.busy.launcher.uri,
        "LIBVIRT_WEB_2": stage.broken.launcher.uri,
        "VIRTWATCH_LOGS": str(stage.run.path / "logs"),
    }
    env = keep(stage.run, variables=variables, path=[stage.control_plane.bin]).relative_to(CHECKOUT)
    return ["All of it goes on running. To play with it:", *_aligned(_suggestions(stage, env)), "make down ends it."]


def _suggestions(stage: Stage, env: Path) -> list[tuple[str, str]]:
    guest = ".venv/bin/python -m lab guest"
    return [
        (f"source {env}", "kubectl and its configuration, addresses"),
        (f"kubectl get events -n {NAMESPACE} --watch-only", "to be left open in another terminal"),
        (f"{guest} {BUSY} cpu on", "and off: an alert fires and resolves"),
        (f"{guest} {BROKEN} fill", "an I/O error pauses it; free, then resume, mend it"),
        (f"{guest} {PLAIN} crash", "the host's own guest; start brings it back"),
        (f"kubectl edit monitorpolicy -n {NAMESPACE} web-tier", "other thresholds, in force within a second"),
        ("virsh -c $LIBVIRT_HOST list", "or $LIBVIRT_WEB_1, $LIBVIRT_WEB_2"),
        (f"curl -s {stage.backend.metrics_url}", "all metrics, the VMs' among them"),
        (stage.backend.ui, "Jaeger's page: traces of virtwatch-agent"),
        ("ls $VIRTWATCH_LOGS", "what each part says"),
    ]


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(command) for command, _ in rows)
    return [f"  {command:{width}}  # {meaning}" for command, meaning in rows]

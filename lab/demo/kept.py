"""Leave the demo's stage running for a person to play with, and say how."""

from pathlib import Path

from lab.demo.stage import NAMESPACE, Stage
from lab.keep import keep
from tools.checkout import CHECKOUT


def keep_for_a_person(stage: Stage) -> list[str]:
    """Keep the run, write `.lab/env`, and return the lines that say what can be done now."""
    variables = {
        "KUBECONFIG": str(stage.control_plane.kubeconfig),
        "OTEL_EXPORTER_OTLP_ENDPOINT": stage.backend.otlp_http,
        "JAEGER": stage.backend.ui,
        "METRICS": stage.backend.metrics_url,
        "VIRTWATCH_LOGS": str(stage.run.path / "logs"),
        **stage.remember(),
    }
    env = keep(stage.run, variables=variables, path=[stage.control_plane.bin]).relative_to(CHECKOUT)
    return ["All of it goes on running. To play with it:", *_aligned(_suggestions(stage, env)), "make down ends it."]


def _suggestions(stage: Stage, env: Path) -> list[tuple[str, str]]:
    return [
        (f"source {env}", "kubectl and its configuration, addresses"),
        (f"kubectl get events -n {NAMESPACE} --watch-only", "to be left open in another terminal"),
        *stage.suggestions(),
        (f"kubectl edit monitorpolicy -n {NAMESPACE} web-tier", "other thresholds, in force within a second"),
        (f"curl -s {stage.backend.metrics_url}", "all metrics, the VMs' among them"),
        (stage.backend.ui, "Jaeger's page: traces of virtwatch-agent"),
        ("ls $VIRTWATCH_LOGS", "what each part says"),
    ]


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(command) for command, _ in rows)
    return [f"  {command:{width}}  # {meaning}" for command, meaning in rows]

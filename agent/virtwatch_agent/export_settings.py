"""How telemetry leaves the agent, where that differs between installations."""

from dataclasses import dataclass

MOST_SERIES = 10_000  # of one target


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """Hold what is off by default.

    `identity_on_points` repeats a target's names on each point, for a Prometheus that promotes no resource attributes.
    `hash_key` lets the names of VMs and namespaces leave hashed with it; empty leaves them as they are.
    `kubevirt_names` exports a VM's readings under KubeVirt's own names too. `most_series` bounds those of one target.
    `metrics_port` is where Prometheus may scrape, 0 for nowhere.
    """

    identity_on_points: bool = False
    hash_key: str = ""
    kubevirt_names: bool = False
    most_series: int = MOST_SERIES
    metrics_port: int = 0


USUAL = ExportSettings()

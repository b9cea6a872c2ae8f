"""Run one Prometheus server: metrics come by OTLP, answers go out by its query API."""

import json
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from lab.process import Process, accepts, free_port, start, wait_for, with_other_ports
from lab.prometheus.binaries import prometheus
from lab.rundir import RunDir

READY_DEADLINE_S = 20.0
# What a query names a VM by; Prometheus keeps the rest of a resource in target_info.
PROMOTED = ("k8s.namespace.name", "k8s.node.name", "kubevirt.vm.name", "libvirt.domain.name", "libvirt.domain.uuid")


class PrometheusServer:
    """A Prometheus on a loopback port of its own, that scrapes nothing. Its data outlives `process`, not the run."""

    process: Process

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._port = 0

    def start(self) -> None:
        """Start it and return when it takes OTLP and answers queries."""
        with_other_ports(self._begin, self.stop)

    def stop(self) -> None:
        """End it; without effect when it does not run."""
        if self._port:
            self.process.stop()

    @property
    def otlp_http(self) -> str:
        """Give the base address for OTLP over HTTP, as `OTEL_EXPORTER_OTLP_ENDPOINT` wants it."""
        return f"http://127.0.0.1:{self._port}/api/v1/otlp"

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Return the series (`metric`, `value`) that an expression has now."""
        url = f"http://127.0.0.1:{self._port}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        # No proxy of the environment stands between the lab and its own loopback.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def _begin(self) -> None:
        self._port = free_port()
        config = self._run.path / "prometheus.json"
        config.write_text(json.dumps({"otlp": {"promote_resource_attributes": list(PROMOTED)}}))
        argv: list[str | Path] = [
            prometheus(),
            f"--config.file={config}",
            f"--storage.tsdb.path={self._run.path / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--web.enable-otlp-receiver",
        ]
        self.process = start("prometheus", argv, run_dir=self._run.path)
        what = "prometheus to listen"
        wait_for(partial(accepts, self._port), what=what, deadline=READY_DEADLINE_S, process=self.process)

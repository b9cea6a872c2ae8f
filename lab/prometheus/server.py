"""Run one Prometheus server: metrics come by OTLP, answers go out by its query API."""

import json
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.process import Process, free_port, start, wait_for, with_other_ports
from lab.prometheus.binaries import prometheus, promtool
from lab.rundir import RunDir
from tools.checkout import CHECKOUT
from tools.commands import run_logged

CONSOLES = CHECKOUT / "manifests" / "dashboards" / "prometheus"
READY_DEADLINE_S = 60.0
# What a query names a VM by; Prometheus keeps the rest of a resource in target_info.
PROMOTED = ("k8s.namespace.name", "k8s.node.name", "kubevirt.vm.name", "libvirt.domain.name", "libvirt.domain.uuid")


class PrometheusServer:
    """A Prometheus on a loopback port of its own, that scrapes nothing. Its data outlives `process`, not the run."""

    process: Process

    def __init__(self, run: RunDir, *, promoted: Sequence[str] = PROMOTED) -> None:
        """Make labels of the resource attributes `promoted`."""
        self._run = run
        self._promoted = promoted
        self._data = run.path / "prometheus"
        self._port = 0

    def start(self, *, history: str = "") -> None:
        """Start it and return when it takes OTLP and answers queries.

        `history` is what it knows from the start: samples with times of their own, in OpenMetrics' text format.
        """
        if history:
            file = self._run.path / "history.om"
            file.write_text(history)
            log = self._run.path / "history.log"
            run_logged(
                [promtool(), "tsdb", "create-blocks-from", "openmetrics", file, self._data], log=log, cwd=self._run.path
            )
        with_other_ports(self._begin, self.stop)

    def stop(self) -> None:
        """End it; without effect when it does not run."""
        if self._port:
            self.process.stop()

    @property
    def otlp_http(self) -> str:
        """Give the base address for OTLP over HTTP, as `OTEL_EXPORTER_OTLP_ENDPOINT` wants it."""
        return f"http://127.0.0.1:{self._port}/api/v1/otlp"

    def query(self, promql: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """Return the series (`metric`, `value`) that an expression has now, or `at` a time in seconds of the epoch."""
        asked = {"query": promql, **({} if at is None else {"time": f"{at:.3f}"})}
        answer = json.loads(self._get(f"/api/v1/query?{urllib.parse.urlencode(asked)}"))
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def console(self, window: str) -> str:
        """Return the page of `manifests/dashboards` that shows VMs, over a time such as 5m."""
        return self._get(f"/consoles/virtwatch.html?window={window}").decode()

    def _begin(self) -> None:
        self._port = free_port()
        config = self._run.path / "prometheus.json"
        config.write_text(json.dumps({"otlp": {"promote_resource_attributes": list(self._promoted)}}))
        argv: list[str | Path] = [
            prometheus(),
            f"--config.file={config}",
            f"--storage.tsdb.path={self._data}",
            # A history may be of any time.
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--web.enable-otlp-receiver",
            f"--web.console.templates={CONSOLES}",
        ]
        self.process = start("prometheus", argv, run_dir=self._run.path)
        wait_for(self._ready, what="prometheus to be ready", deadline=READY_DEADLINE_S, process=self.process)

    def _ready(self) -> bool:
        try:
            return bool(self._get("/-/ready"))
        except OSError:
            return False

    def _get(self, path: str) -> bytes:
        # No proxy of the environment stands between the lab and its own loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
            said: bytes = answer.read()
        return said

"""Run one Jaeger: OTLP in, traces in memory, metrics in Prometheus' format, logs into its own log file."""

import json
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from lab.backend.jaeger import build_jaeger, fetch_page
from lab.process import Process, accepts, free_port, start, wait_for, with_other_ports
from lab.rundir import RunDir

READY_DEADLINE_S = 60.0
MAX_TRACES = 10_000
PORTS = ("otlp_http", "otlp_grpc", "ui", "query_grpc", "metrics")


class Backend:
    """An OpenTelemetry Collector with Jaeger's storage and page, on loopback ports of its own.

    `process` is there to be signalled. What it holds is in memory: a restart forgets it.
    """

    process: Process

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._ports: dict[str, int] = {}

    def start(self) -> None:
        """Start it and return when it takes OTLP and answers queries."""
        program, page = build_jaeger(), fetch_page()
        with_other_ports(lambda: self._begin(program, page), self.stop)

    def stop(self) -> None:
        """End it; without effect when it does not run."""
        if self._ports:
            self.process.stop()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()

    def restart(self) -> None:
        """Start it again on the same ports and return when it takes OTLP."""
        self.process.restart()
        self._wait_ready()

    @property
    def otlp_http(self) -> str:
        """Give the base address for OTLP over HTTP, as `OTEL_EXPORTER_OTLP_ENDPOINT` wants it."""
        return self._address("otlp_http")

    @property
    def otlp_grpc(self) -> str:
        return self._address("otlp_grpc")

    @property
    def ui(self) -> str:
        return self._address("ui")

    @property
    def metrics_url(self) -> str:
        return self._address("metrics") + "/metrics"

    @property
    def log(self) -> Path:
        """Name the file that shows, among others, every log record that came in."""
        return self.process.log

    def trace_url(self, trace_id: str) -> str:
        """Give the address of a trace's page."""
        return f"{self.ui}/trace/{trace_id}"

    def trace(self, trace_id: str) -> dict[str, Any]:
        """Return a trace in Jaeger's JSON (`spans`, `processes`); empty while it is not known."""
        found = self._query(f"/api/traces/{trace_id}")
        return found[0] if found else {}

    def traces(self, service: str, *, limit: int = 1000) -> list[dict[str, Any]]:
        """Return the newest traces that hold a span of this service."""
        return self._query(f"/api/traces?{urllib.parse.urlencode({'service': service, 'limit': limit})}")

    def metrics(self) -> str:
        """Return all metrics that came in, in Prometheus' text format."""
        with _open(self.metrics_url) as answer:
            return str(answer.read().decode())

    def _query(self, path: str) -> list[dict[str, Any]]:
        try:
            with _open(self.ui + path) as answer:
                return json.load(answer)["data"] or []
        except urllib.error.HTTPError as refusal:
            with refusal:
                if refusal.code == 404:
                    return []
                raise

    def _address(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def _begin(self, program: Path, page: Path | None) -> None:
        self._ports = {name: free_port() for name in PORTS}
        config = self._run.path / "jaeger.json"
        config.write_text(json.dumps(_config(self._ports, page), indent=1))
        self.process = start("jaeger", [program, f"--config={config}"], run_dir=self._run.path)
        self._wait_ready()

    def _wait_ready(self) -> None:
        for name in PORTS:
            what = f"jaeger to listen for {name}"
            wait_for(partial(accepts, self._ports[name]), what=what, deadline=READY_DEADLINE_S, process=self.process)


def _config(ports: dict[str, int], page: Path | None) -> dict[str, Any]:
    at = {name: {"endpoint": f"127.0.0.1:{port}"} for name, port in ports.items()}
    # It would export spans of its own to port 4317, whose ever that is, and take 10 s to give up when it ends.
    query = {"storage": {"traces": "memory"}, "http": at["ui"], "grpc": at["query_grpc"], "enable_tracing": False}
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]},
                "metrics": {"receivers": ["otlp"], "exporters": ["prometheus"]},
                "logs": {"receivers": ["otlp"], "exporters": ["debug"]},
            },
            # Its own metrics have a port that is not ours to choose.
            "telemetry": {"metrics": {"level": "none"}},
        },
        "extensions": {
            "jaeger_query": query | ({"ui": {"assets_path": str(page)}} if page else {}),
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": MAX_TRACES}}}},
        },
        "receivers": {"otlp": {"protocols": {"http": at["otlp_http"], "grpc": at["otlp_grpc"]}}},
        "exporters": {
            "jaeger_storage_exporter": {"trace_storage": "memory"},
            "prometheus": at["metrics"] | {"resource_to_telemetry_conversion": {"enabled": True}},
            "debug": {"verbosity": "detailed"},
        },
    }


def _open(url: str) -> Any:
    # No proxy of the environment stands between the lab and its own loopback.
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10)

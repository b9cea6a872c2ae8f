"""Build Prometheus and promtool from their Go module, once."""

import shutil
from pathlib import Path

from tools.cache import build_log, cached
from tools.go import find_go
from tools.gobuild import go_build
from tools.gomodule import GoModule, copy_module
from tools.progress import step

# Prometheus 3.16.0: the module's minor version holds both.
PROMETHEUS = GoModule("github.com/prometheus/prometheus", "0.316.0", "h1:f1GRFerhTMKQma+awCoC9T820ecWeGSdF+xAlMHzZzM=")
STAMP = "-X github.com/prometheus/common/version.Version=3.16.0"
# Without the discovery of every cloud's targets: half of what there is to compile.
TAGS = "remove_all_sd"
PROGRAMS = ("prometheus", "promtool")


def prometheus() -> Path:
    """Return the path of prometheus, building it when the cache does not hold it. It has no web page, only the API."""
    return _programs() / "prometheus"


def promtool() -> Path:
    """Return the path of promtool, building it when the cache does not hold it."""
    return _programs() / "promtool"


def _programs() -> Path:
    return cached("prometheus", [PROMETHEUS.sum.encode(), STAMP.encode(), TAGS.encode()], _build)


def _build(folder: Path) -> None:
    source, log = folder / "source", build_log("prometheus")
    packages = [f"./cmd/{name}" for name in PROGRAMS]
    settings = {"GOWORK": "off", "GOFLAGS": f"-tags={TAGS}"}
    with step(f"Building Prometheus {PROMETHEUS.version}", why="from its Go module, about 4 minutes on 2 cores, once"):
        copy_module(find_go(), PROMETHEUS, source)
        go_build(packages, source=source, output=folder, log=log, stamp=STAMP, env=settings)
    shutil.rmtree(source)

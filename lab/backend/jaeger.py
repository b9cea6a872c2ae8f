"""Build Jaeger from its Go module, and fetch its web page, which the module lacks, from a crate that carries it."""

import shutil
from pathlib import Path

from tools.cache import build_log, cached
from tools.commands import run_logged
from tools.errors import ToolError
from tools.go import find_go
from tools.gobuild import go_build
from tools.gomodule import GoModule, copy_module
from tools.machine import ensure_packages
from tools.progress import note, step

JAEGER = GoModule("github.com/jaegertracing/jaeger", "1.76.0", "h1:sWCOOF1dr+NL0PLil7mFo3BqqQL8k4WiM7aguFbc14g=")
# Jaeger as it is has the clients of seven storages and three clouds, and takes three times the compiling.
SLIM = Path(__file__).with_name("slim")
PLACES = {
    "main.go": "cmd/jaeger/lab",
    "jaegerstorage.go": "cmd/jaeger/internal/extension/jaegerstorage",
    "flags.go": "cmd/query/app",
    "prometheusremotewrite.go": "prometheus/storage/remote/otlptranslator/prometheusremotewrite",
}
REPLACED = (
    "cmd/jaeger/internal/extension/jaegerstorage/config.go",
    "cmd/jaeger/internal/extension/jaegerstorage/extension.go",
)
# Apache-2.0; holds the build of Jaeger UI 2.14.1 in jaeger-ui/build.
CRATE, CRATE_VERSION = "otlp-embedded", "0.0.2"


def build_jaeger() -> Path:
    """Return the path of the jaeger program, building it when the cache does not hold it."""
    return cached("jaeger", [JAEGER.sum.encode(), SLIM, repr((PLACES, REPLACED)).encode()], _build) / "jaeger"


def fetch_page() -> Path | None:
    """Return the folder of Jaeger's web page; None, with a note, where no working cargo can fetch it."""
    try:
        return cached("jaeger-page", [f"{CRATE} {CRATE_VERSION}".encode()], _fetch) / "ui"
    except ToolError:
        # A cargo without a toolchain, or without its registry, must not cost the demo: only the page is missing.
        note(
            f"cargo does not work ({build_log('jaeger-page')} says why): Jaeger's API works, its page is a placeholder"
        )
        return None


def _build(folder: Path) -> None:
    source, log = folder / "source", build_log("jaeger")
    with step(f"Building Jaeger {JAEGER.version}", why="from its Go module, about 2 minutes on 2 cores, once"):
        copy_module(find_go(), JAEGER, source)
        for name in REPLACED:
            (source / name).unlink()
        for name, place in PLACES.items():
            (source / place).mkdir(parents=True, exist_ok=True)
            shutil.copy(SLIM / name, source / place)
        (source / "prometheus" / "go.mod").write_text("module github.com/prometheus/prometheus\n\ngo 1.24.0\n")
        replace = "-replace=github.com/prometheus/prometheus=./prometheus"
        run_logged([find_go(), "mod", "edit", replace], log=log, cwd=source)
        go_build(["./cmd/jaeger/lab"], source=source, output=folder / "jaeger", log=log, stamp="")
        shutil.rmtree(source)


def _fetch(folder: Path) -> None:
    if shutil.which("cargo") is None:
        # Debian 12's own cargo is too old for the registry; this one is kept up to date for browsers.
        ensure_packages(["cargo-web"])
    project = folder / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "lib.rs").touch()
    (project / "Cargo.toml").write_text(
        f'[package]\nname = "page"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n{CRATE} = "={CRATE_VERSION}"\n'
    )
    with step("Fetching Jaeger's page", why=f"from the crate {CRATE} {CRATE_VERSION}, once"):
        run_logged(["cargo", "vendor", "--quiet", "vendor"], log=build_log("jaeger-page"), cwd=project)
    (project / "vendor" / CRATE / "jaeger-ui" / "build").rename(folder / "ui")
    shutil.rmtree(project)

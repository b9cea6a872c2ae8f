"""Build Jaeger from its Go module, and fetch its web page, which the module lacks, from a crate that carries it."""

import shutil
from pathlib import Path

from tools.cache import build_log, cached
from tools.commands import run_logged
from tools.errors import ToolError
from tools.gobuild import go_build
from tools.gomodule import GoModule, copy_module
from tools.machine import find_cargo, require_go
from tools.progress import note, step

JAEGER = GoModule("github.com/jaegertracing/jaeger", "1.76.0", "h1:sWCOOF1dr+NL0PLil7mFo3BqqQL8k4WiM7aguFbc14g=")
STAMP = f"-X {JAEGER.path}/internal/version.latestVersion=v{JAEGER.version}"
# Apache-2.0; holds the build of Jaeger UI 2.14.1 in jaeger-ui/build.
CRATE, CRATE_VERSION = "otlp-embedded", "0.0.2"


def build_jaeger() -> Path:
    """Return the path of the jaeger program, building it when the cache does not hold it."""
    return cached("jaeger", [JAEGER.sum.encode(), STAMP.encode()], _build) / "jaeger"


def fetch_page() -> Path | None:
    """Return the folder of Jaeger's web page; None, with a note, where no working cargo can fetch it."""
    cargo = find_cargo()
    key = f"{CRATE} {CRATE_VERSION}".encode()
    if cargo is None:
        note("cargo is missing: Jaeger's API works, its page is a placeholder (install cargo to see traces drawn)")
        return None
    try:
        return cached("jaeger-page", [key], lambda folder: _fetch(cargo, folder)) / "ui"
    except ToolError:
        # A cargo without a toolchain, or without its registry, must not cost the demo: only the page is missing.
        note(
            f"cargo does not work ({build_log('jaeger-page')} says why): Jaeger's API works, its page is a placeholder"
        )
        return None


def _build(folder: Path) -> None:
    source, log = folder / "source", build_log("jaeger")
    with step(f"Building Jaeger {JAEGER.version}", why="from its Go module, about 4 minutes on 2 cores, once"):
        copy_module(require_go(), JAEGER, source)
        go_build(["./cmd/jaeger"], source=source, output=folder / "jaeger", log=log, stamp=STAMP)
        shutil.rmtree(source)


def _fetch(cargo: str, folder: Path) -> None:
    project = folder / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "lib.rs").touch()
    (project / "Cargo.toml").write_text(
        f'[package]\nname = "page"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n{CRATE} = "={CRATE_VERSION}"\n'
    )
    with step("Fetching Jaeger's page", why=f"from the crate {CRATE} {CRATE_VERSION}, once"):
        run_logged([cargo, "vendor", "--quiet", "vendor"], log=build_log("jaeger-page"), cwd=project)
    (project / "vendor" / CRATE / "jaeger-ui" / "build").rename(folder / "ui")
    shutil.rmtree(project)

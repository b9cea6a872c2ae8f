"""Build Jaeger from its Go module, and fetch its web page, which the module lacks, from a crate that carries it."""

import json
import shutil
import subprocess
from pathlib import Path

from lab.cache import build_log, cached
from lab.errors import LabError
from lab.machine import GO_SETTINGS, find_cargo, require_go
from lab.process import run_logged
from lab.progress import note, step

MODULE = "github.com/jaegertracing/jaeger"
VERSION = "1.76.0"
# What the module's zip must hash to, as in a go.sum.
MODULE_SUM = "h1:sWCOOF1dr+NL0PLil7mFo3BqqQL8k4WiM7aguFbc14g="
_STAMP = f"{MODULE}/internal/version"
BUILD = ("build", "-p", "2", "-trimpath", "-ldflags", f"-s -w -X {_STAMP}.latestVersion=v{VERSION}")
# Apache-2.0; holds the build of Jaeger UI 2.14.1 in jaeger-ui/build.
CRATE, CRATE_VERSION = "otlp-embedded", "0.0.2"


def build_jaeger() -> Path:
    """Return the path of the jaeger program, building it when the cache does not hold it."""
    inputs = [MODULE_SUM.encode(), *(part.encode() for part in BUILD)]
    return cached("jaeger", inputs, _build) / "jaeger"


def fetch_page() -> Path | None:
    """Return the folder of Jaeger's web page; None, with a note, where no working cargo can fetch it."""
    cargo = find_cargo()
    key = f"{CRATE} {CRATE_VERSION}".encode()
    if cargo is None:
        note("cargo is missing: Jaeger's API works, its page is a placeholder (install cargo to see traces drawn)")
        return None
    try:
        return cached("jaeger-page", [key], lambda folder: _fetch(cargo, folder)) / "ui"
    except LabError:
        # A cargo without a toolchain, or without its registry, must not cost the demo: only the page is missing.
        note(
            f"cargo does not work ({build_log('jaeger-page')} says why): Jaeger's API works, its page is a placeholder"
        )
        return None


def _build(folder: Path) -> None:
    go = require_go()
    log = build_log("jaeger")
    with step(f"Building Jaeger {VERSION}", why="from its Go module, about 4 minutes on 2 cores, once"):
        # In a copy of the module, because only its own go.mod and go.sum name checksums that are all to be had.
        source = folder / "source"
        shutil.copytree(_module(go), source, copy_function=shutil.copyfile)
        for read_only in (source, *source.rglob("*/")):
            read_only.chmod(0o755)
        argv = [go, *BUILD, "-o", str(folder / "jaeger"), "./cmd/jaeger"]
        run_logged(argv, log=log, cwd=source, env={**GO_SETTINGS, "CGO_ENABLED": "0"})
        shutil.rmtree(source)


def _module(go: str) -> Path:
    argv = [go, "mod", "download", "-json", f"{MODULE}@v{VERSION}"]
    said = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False)
    try:
        module = json.loads(said.stdout)
        folder, found = Path(module["Dir"]), module["Sum"]
    except (ValueError, KeyError) as error:
        raise LabError(f"{' '.join(argv)} failed: {said.stdout}{said.stderr}") from error
    if found != MODULE_SUM:
        raise LabError(f"{MODULE}@v{VERSION} hashes to {found}, not to {MODULE_SUM}: distrust the module proxy in use.")
    return folder


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

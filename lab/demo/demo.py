"""Run the demo: set the stage, tell the story, then clean up or keep."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lab.demo.full import FullStage
from lab.demo.light import LightStage
from lab.demo.stage import NAMESPACE
from lab.demo.story import Story
from lab.demo.teller import Teller
from lab.keep import keep as keep_run
from lab.keep import name_leftovers
from lab.rundir import RunDir, clean
from tools.checkout import CHECKOUT
from tools.errors import ToolError
from tools.machine import require_machine
from tools.progress import note, step


def demo(*, keep: bool, kubevirt: bool = False) -> float:
    """Show virtwatch's main job on real parts; return after how many seconds the last alert had resolved.

    `kubevirt` adds nodes and KubeVirt. ToolError when any of it does not come true.
    """
    require_machine()
    teller = Teller()
    name_leftovers()
    os.chdir(CHECKOUT)  # Commands are shown, and run, as one types them there.
    run = RunDir.create("demo")
    try:
        stage = (FullStage if kubevirt else LightStage)(run)
        return _tell(stage, teller, keep=keep)
    except Exception as error:
        saved = _save_logs(run)
        # Before the end of all parts, which may take a minute.
        note(f"{error}\nthe logs of all parts: {saved}")
        if isinstance(error, ToolError) and error.log is not None and error.log.is_relative_to(run.path):
            error.log = saved / error.log.name  # the run's own folder goes now
        raise
    finally:
        if not run.kept:
            with step("Ending all that was started"):
                clean(run)


def _tell(stage: LightStage | FullStage, teller: Teller, *, keep: bool) -> float:
    teller.say("virtwatch on real parts: a policy, two VMs in trouble, alerts, a trace, and their end.", *stage.promise)
    stage.start(teller)
    resolved_after = Story(stage, teller).tell()
    teller.chapter("Shown")
    teller.say(
        "A policy was accepted, distributed and judged on each node. Two alerts fired, as Events, as status and as",
        f"traces, and both resolved: {resolved_after:.0f} s from the start to the last alert's end.",
        "",
    )
    if keep:
        teller.say(*_keep(stage))
    else:
        teller.say("make demo KEEP=1 leaves all of it running, to play with: Kubernetes, the VMs, Jaeger's page.")
    return resolved_after


def _keep(stage: LightStage | FullStage) -> Iterator[str]:
    """Keep the run, write `.lab/env`, and return the lines that say what can be done now."""
    backend = stage.backend
    variables = {
        **stage.keep(),
        "KUBECONFIG": str(stage.control_plane.kubeconfig),
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend.otlp_http,
        "JAEGER": backend.ui,
        "METRICS": backend.metrics_url,
        "VIRTWATCH_LOGS": str(stage.run.path / "logs"),
    }
    env = keep_run(stage.run, variables=variables, path=[stage.control_plane.bin]).relative_to(CHECKOUT)
    rows = [
        (f"source {env}", "kubectl and its configuration, addresses"),
        (f"kubectl get events -n {NAMESPACE} --watch-only", "to be left open in another terminal"),
        *stage.suggestions(),
        (f"kubectl edit monitorpolicy -n {NAMESPACE} web-tier", "other thresholds, in force within a second"),
        ("curl -s $METRICS", "all metrics, the VMs' among them"),
        (backend.ui, "Jaeger's page: traces of virtwatch-agent"),
        ("ls $VIRTWATCH_LOGS", "each part's log"),
    ]
    yield "All of it keeps running. To play with it:"
    yield from (f"  {command:{max(len(row[0]) for row in rows)}}  # {meaning}" for command, meaning in rows)
    yield "make down ends it."


def _save_logs(run: RunDir) -> Path:
    """Copy the logs to where they outlive the run, in the place of those that failed before."""
    saved = CHECKOUT / ".lab" / "failed"
    shutil.rmtree(saved, ignore_errors=True)
    shutil.copytree(run.path / "logs", saved, dirs_exist_ok=True)
    for pods in run.path.glob("*/var-log/pods"):
        shutil.copytree(pods, saved / pods.relative_to(run.path).parts[0], dirs_exist_ok=True)
    return saved

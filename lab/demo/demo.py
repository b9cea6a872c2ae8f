"""Run the demo: set the stage, tell the story, then clean up or keep."""

import os
import shutil
import time
from pathlib import Path

from lab.demo.kept import keep_for_a_person
from lab.demo.nodes import NodeStage
from lab.demo.processes import ProcessStage
from lab.demo.stage import Stage
from lab.demo.story import Story
from lab.demo.teller import Teller
from lab.keep import name_leftovers
from lab.rundir import RunDir, clean
from tools.checkout import CHECKOUT
from tools.errors import ToolError
from tools.machine import require_machine
from tools.progress import note, step


def demo(*, keep: bool, light: bool = False) -> float:
    """Show virtwatch's main job on real parts; return after how many seconds the last alert had resolved.

    `light` goes without nodes and KubeVirt. ToolError when any of it does not come true.
    """
    require_machine()
    chosen = ProcessStage if light else NodeStage
    teller = Teller(started=time.monotonic())
    name_leftovers()
    teller.say(
        "virtwatch on real parts: a policy, two VMs in trouble, alerts, a trace, and their end.", *chosen.promise
    )
    os.chdir(CHECKOUT)  # Commands are shown, and run, as one types them there.
    chosen.prepare()
    run = RunDir.create("demo")
    try:
        return _tell(chosen(run), teller, keep=keep)
    except Exception as error:
        saved = _save_logs(run)
        note(f"the logs of all parts: {saved}")
        if isinstance(error, ToolError) and error.log is not None and error.log.is_relative_to(run.path):
            error.log = saved / error.log.name  # the run's own folder goes now
        raise
    finally:
        if not run.kept:
            with step("Ending all that was started"):
                clean(run)


def _tell(stage: Stage, teller: Teller, *, keep: bool) -> float:
    teller.chapter("Real parts")
    stage.start()
    resolved_after = Story(stage, teller).tell()
    teller.chapter("Shown")
    teller.say(
        "A policy was accepted, distributed and judged on each node. Two alerts fired, as Events, as status and as",
        f"traces, and both resolved: {resolved_after:.0f} s from the start to the last alert's end.",
    )
    if keep:
        teller.say("", *keep_for_a_person(stage))
    else:
        teller.say("", "make demo KEEP=1 leaves all of it running, to play with: Kubernetes, the VMs, Jaeger's page.")
    return resolved_after


def _save_logs(run: RunDir) -> Path:
    """Copy the logs to where they outlive the run, in the place of those that failed before."""
    saved = CHECKOUT / ".lab" / "failed"
    shutil.rmtree(saved, ignore_errors=True)
    shutil.copytree(run.path / "logs", saved, dirs_exist_ok=True)
    for pods in run.path.glob("*/var-log/pods"):
        shutil.copytree(pods, saved / pods.relative_to(run.path).parts[0], dirs_exist_ok=True)
    return saved

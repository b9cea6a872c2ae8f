"""An alert on run delay names who had the CPU: processes that are pinned to one CPU stand for the QEMUs of two VMs."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import Agent, policy
from virtwatch_agent.observations import Appeared, Domain, DomainState, IdentitiesChanged, KubernetesIdentity, Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.compile import compile_policy
from virtwatch_api.nodemonitor import FiringAlert
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.targets import vm_ref
from virtwatch_api.thresholdset import ThresholdSet

STARVED = {
    "name": "starved",
    "threshold": {"signal": "vm.cpu.delay.ratio", "warning": {"above": "20%", "recover": "10%"}},
}
VICTIM, HOG = ("6a1c1f0e-0000-4000-8000-00000000000" + number for number in "12")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    started = Agent(tmp_path)
    yield started
    started.core.stop()


@pytest.fixture
def rivals() -> Iterator[tuple[int, int]]:
    """Start two processes that both want all of one CPU, ahead of whatever else this machine does."""
    cpu = max(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, {{{cpu}}}); os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))\n"
        "print(flush=True)\n"
        "while True: pass"
    )
    with ExitStack() as ending:
        started = []
        for _ in range(2):
            busy = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
            ending.callback(busy.communicate)
            ending.callback(busy.kill)
            started.append(busy)
        for busy in started:  # both are at it, however long they took to start
            assert busy.stdout is not None
            assert busy.stdout.readline()
        yield started[0].pid, started[1].pid


def tenants_policy() -> ThresholdSet:
    parsed = parse_policy(
        {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "MonitorPolicy",
            "metadata": {"name": "web", "namespace": "shop", "uid": "p", "generation": 1},
            "spec": {"collection": {"interval": "1s"}, "rules": [STARVED]},
        }
    )
    compiled = compile_policy(parsed)
    assert isinstance(compiled, ThresholdSet), compiled
    return compiled


def starve(
    agent: Agent, rivals: tuple[int, int], *, hog_in: str, throttled: float = 0.0, after: float = 1.5
) -> FiringAlert:
    """Have a VM whose vCPU waits half of the time, beside one that never rests; say so from `after` seconds on."""
    agent.say(
        IdentitiesChanged(
            (
                KubernetesIdentity("shop", "web-1", "vmi-1", ("pod-1",), {}, {}),
                KubernetesIdentity(hog_in, "db-1", "vmi-2", ("pod-2",), {}, {}),
            )
        )
    )
    for uuid, name, process, pod in ((VICTIM, "web-1", rivals[0], "pod-1"), (HOG, "db-1", rivals[1], "pod-2")):
        domain = Domain(uuid, name, "test", f"{process}-1", DomainState.RUNNING, pod_uid=pod)
        agent.say(Appeared(domain, time.time()))
    begun = time.monotonic()

    def waits() -> bool:
        clock = time.monotonic()
        passed = clock - begun
        values = {("cpu.delay", "0"): 0.5 * passed, ("cpu.throttled", ""): throttled * passed, ("cpu.count", ""): 1.0}
        if passed > after:
            now = time.time()
            agent.say(Sample(vm_ref(VICTIM), Source.KERNEL, f"{rivals[0]}-1", now, now, clock, values))
            time.sleep(0.2)
        return bool(agent.outside.statuses) and bool(agent.status.firing)

    while not waits():
        assert time.monotonic() < begun + 60.0
        time.sleep(0.05)
    if not throttled:
        agent.until(lambda status: bool(status.firing) and bool(status.firing[0].evidence.culprit))
    return agent.status.firing[0]


def test_an_administrators_alert_names_the_vm_that_had_the_cpu(agent: Agent, rivals: tuple[int, int]) -> None:
    agent.judge_by(policy(STARVED))

    alert = starve(agent, rivals, hog_in="bank")

    assert "VM bank/db-1 (" in alert.evidence.culprit
    assert f"; the CPU time went to {alert.evidence.culprit}" in alert.evidence.sentence


def test_a_tenants_alert_names_its_own_vm(agent: Agent, rivals: tuple[int, int]) -> None:
    agent.judge_by(tenants_policy())

    assert "VM shop/db-1 (" in starve(agent, rivals, hog_in="shop").evidence.culprit


def test_a_tenants_alert_names_no_vm_of_another_tenant(agent: Agent, rivals: tuple[int, int]) -> None:
    agent.judge_by(tenants_policy())

    culprit = starve(agent, rivals, hog_in="bank").evidence.culprit

    assert "another VM of this node (" in culprit
    assert "db-1" not in culprit
    assert "process " not in culprit


@pytest.mark.parametrize("after", [0.05, 1.5], ids=["found after the alert", "found with the alert"])
def test_the_culprit_outlasts_a_restart_with_its_alert(agent: Agent, rivals: tuple[int, int], after: float) -> None:
    agent.judge_by(policy(STARVED))
    culprit = starve(agent, rivals, hog_in="bank", after=after).evidence.culprit

    agent.restart()

    assert agent.until(lambda status: bool(status.firing)).firing[0].evidence.culprit == culprit


def test_nobody_is_named_where_its_own_limit_keeps_a_vm_waiting(agent: Agent, rivals: tuple[int, int]) -> None:
    agent.judge_by(policy(STARVED))

    assert starve(agent, rivals, hog_in="bank", throttled=0.28).evidence.culprit == ""

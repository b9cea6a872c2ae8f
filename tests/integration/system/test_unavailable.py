"""A rule that cannot be judged says so, from the agent's process to what `kubectl describe` shows."""

from tests.integration.system.conftest import RULE
from tests.integration.system.watched import Watched

HEADROOM = {"name": "memory", "threshold": {"signal": "vm.memory.headroom.ratio", "warning": {"below": "5%"}}}
DEADLINE_S = 150.0


def test_a_policy_names_whom_a_rule_cannot_be_judged_for_and_why(watched: Watched) -> None:
    """The VM has no operating system, so nobody in it reports its memory."""
    system = watched.system
    system.put_in_force("memory", HEADROOM, RULE, target={"names": ["web-1"]})
    system.wait(lambda: system.condition("memory", "Judged") == "True", what="the policy to be judged", deadline=30.0)
    system.wait(
        lambda: system.condition("memory", "Judged") == "False",
        what="the rule without data to be named",
        deadline=DEADLINE_S,
    )
    (applied,) = (item for item in system.status()["applied"] if item["policy"]["name"] == "memory")
    (missing,) = applied["unavailable"]
    assert (missing["rule"], missing["signal"], missing["targets"]) == ("memory", "vm.memory.headroom.ratio", 1)
    described = system.control_plane.kubectl(
        "describe", "monitorpolicy", "memory", f"--namespace={system.namespace}"
    ).stdout
    told = (
        "Rule memory cannot be judged for shop/web-1 on node node-1: no vm.memory.headroom.ratio (the guest reports no "
        "memory: <memballoon> needs <stats period='10'/>, the guest the virtio_balloon driver)."
    )
    assert told in " ".join(described.split())
    assert system.condition("memory", "Ready") == "True"

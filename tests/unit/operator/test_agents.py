# Whether a node's agent runs, by its pod.
import pytest

from virtwatch_api.nodemonitor import AgentState
from virtwatch_operator.nodes.agents import GRACE_S, START_S, AgentPods


class Seen:
    def __init__(self):
        self.now, self.changed = 1_000_000_000.0, []
        self.pods = AgentPods(self.changed.append, clock=lambda: self.now)

    def pod(self, node="n1", *, ready=True, name="agent"):
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        metadata = {"name": name, "creationTimestamp": "2001-09-09T01:46:40Z"}
        return {
            "metadata": metadata,
            "spec": {"nodeName": node} if node else {},
            "status": {"conditions": conditions},
        }

    @property
    def state(self):
        return self.pods.observed("n1").agent


@pytest.fixture
def seen():
    return Seen()


def test_a_node_gets_its_nodemonitor_once_an_agent_is_scheduled_there(seen):
    seen.pods.on_change(None, seen.pod(None))
    assert seen.pods.nodes() == []
    seen.pods.on_change(seen.pod(None), seen.pod())
    assert seen.changed == ["n1"]
    assert seen.pods.nodes() == ["n1"]
    assert seen.pods.on_node("n1")
    assert seen.state is AgentState.READY


def test_an_agent_that_hangs_is_not_ready_after_a_moment(seen):
    seen.pods.on_change(None, seen.pod())
    seen.pods.on_change(seen.pod(), seen.pod(ready=False))
    assert seen.state is AgentState.READY
    seen.now += GRACE_S
    seen.pods.tick()
    assert seen.state is AgentState.NOT_READY
    assert seen.changed == ["n1", "n1"]
    assert "kubectl describe pod agent" in seen.pods.observed("n1").message
    seen.pods.on_change(seen.pod(ready=False), seen.pod())
    assert seen.state is AgentState.READY


def test_a_rollout_is_no_silence_but_an_agent_that_never_gets_ready_is(seen):
    seen.pods.on_change(None, seen.pod())
    seen.pods.on_change(seen.pod(), None)
    assert seen.state is AgentState.STARTING
    seen.pods.on_change(None, seen.pod(ready=False, name="next"))
    assert seen.state is AgentState.STARTING
    seen.now += START_S
    assert seen.state is AgentState.NOT_READY
    assert seen.pods.down("n1")


def test_a_node_that_has_no_agent_any_more_says_so(seen):
    seen.pods.on_change(None, seen.pod())
    seen.pods.on_change(seen.pod(), None)
    seen.now += START_S
    seen.pods.tick()
    assert seen.state is AgentState.MISSING


def test_an_agent_is_gone_once_no_pod_was_there_for_a_minute(seen):
    seen.pods.on_change(None, seen.pod())
    seen.pods.on_change(seen.pod(), seen.pod(ready=False))
    seen.now += 10 * START_S
    assert not seen.pods.gone("n1"), "a pod that is not ready may be ready again"
    seen.pods.on_change(seen.pod(ready=False), None)
    assert not seen.pods.gone("n1"), "a rollout"
    seen.now += START_S
    assert seen.pods.gone("n1")
    seen.pods.on_change(None, seen.pod(ready=False, name="next"))
    assert not seen.pods.gone("n1")


def test_a_new_leader_waits_a_minute_before_an_agent_is_gone(seen):
    """Its first look may fall into a rollout of the pod that it does not see."""
    assert not seen.pods.gone("n1")
    seen.pods.on_change(None, seen.pod("n2"))
    assert not seen.pods.gone("n1")
    seen.now += START_S
    assert seen.pods.gone("n1")
    assert not seen.pods.gone("n2")

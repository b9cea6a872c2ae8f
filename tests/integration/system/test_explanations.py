"""Why a VM is judged as it is, asked of the cluster: the agent answers, or else the operator says what it knows."""

from lab.installed.system import System
from tests.integration.system.watched import Watched, explain_by_agent
from virtwatch_kube.paths import virtwatch


def ask(system: System, name: str, target: str, *, kind: str = "VirtualMachine", namespace: str = "") -> None:
    system.apply(
        {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "Explanation",
            "metadata": {"name": name, "namespace": namespace or system.namespace},
            "spec": {"target": {"kind": kind, "name": target}},
        }
    )


def answer(system: System, name: str, namespace: str = "") -> dict:
    path = virtwatch("explanations", namespace=namespace or system.namespace, name=name)
    return system.control_plane.get(path).get("status", {})


def test_the_agent_of_its_node_answers_for_a_vm_and_keeps_the_answer_fresh(watched: Watched) -> None:
    system = watched.system
    ask(system, "why", "web-1")
    system.wait(lambda: answer(system, "why").get("answeredBy") == "Agent", what="the agent to answer")
    first = answer(system, "why")
    assert first["node"] == system.node
    (rule,) = (item for item in first["rules"] if item["rule"] == "paused")
    assert rule["policy"] == "shop/paused"
    assert "MonitorPolicy shop/paused, which selects this VM" in first["text"]

    watched.pause()
    system.wait(lambda: "firing Critical since" in answer(system, "why")["text"], what="the answer to follow")


def test_an_answer_that_somebody_wrote_over_is_written_again(watched: Watched) -> None:
    system = watched.system
    ask(system, "over", "web-1")
    system.wait(lambda: answer(system, "over").get("answeredBy") == "Agent", what="the agent to answer")
    over = ("--type=merge", "--subresource=status", '--patch={"status":{"answeredBy":"Operator"}}')
    system.control_plane.kubectl("patch", "explanation", "over", f"--namespace={system.namespace}", *over)
    system.wait(lambda: answer(system, "over")["answeredBy"] == "Agent", what="the agent to answer again")


def test_where_no_agent_answers_the_operator_says_which_rules_apply(watched: Watched) -> None:
    system = watched.system
    system.agent.kill()
    try:
        ask(system, "alone", "web-1")
        system.wait_without_agent(lambda: bool(answer(system, "alone")), what="the operator to answer")
        said = answer(system, "alone")
    finally:
        system.agent.restart()
    assert said["answeredBy"] == "Operator"
    assert said["note"].startswith(f"the agent of node {system.node} has not answered")
    assert [item["rule"] for item in said["rules"]] == ["paused"]
    assert said["rules"][0]["alerts"] == []
    system.wait(lambda: answer(system, "alone")["answeredBy"] == "Agent", what="the agent to answer later")


def test_of_what_is_not_there_the_answer_says_so(watched: Watched) -> None:
    system = watched.system
    ask(system, "nobody", "web-9")
    system.wait(lambda: bool(answer(system, "nobody")), what="an answer")
    assert answer(system, "nobody")["note"] == f"there is no VirtualMachineInstance web-9 in {system.namespace}"


def test_a_tenant_asks_nothing_about_a_node_and_an_admin_does(watched: Watched) -> None:
    system = watched.system
    ask(system, "node", system.node, kind="Node")
    ask(system, "node", system.node, kind="Node", namespace="virtwatch-system")
    system.wait(lambda: bool(answer(system, "node")), what="a refusal")
    assert answer(system, "node")["note"] == "a Node is asked about in the namespace virtwatch-system"
    system.wait(lambda: answer(system, "node", "virtwatch-system").get("answeredBy") == "Agent", what="the answer")


def test_the_command_asks_the_cluster(watched: Watched) -> None:
    said = explain_by_agent(watched.system, "vm/shop/web-1")
    assert [item["rule"] for item in said["rules"]] == ["paused"]

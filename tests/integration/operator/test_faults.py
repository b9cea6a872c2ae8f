# The operator under what happens to it: kills, a second replica, an API server that is absent, kinds that are missing.
import json
import random
import signal
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from lab.process import Process
from tests.integration.operator.place import Place, eventually, progress, says
from tests.soak import times
from tools.checkout import CHECKOUT
from virtwatch_api.policy_codec import timestamp
from virtwatch_kube.paths import LEASES, resource

KILLS = times(6, 300)
LEASE_S = 15
EXIT_S = 5.0


@pytest.mark.soak
def test_an_operator_that_is_killed_at_any_moment_loses_nothing_and_repeats_nothing(flowing):
    place, agent, _ = flowing
    chance = random.Random()
    for number in range(KILLS):
        operator = place.operator()
        if number % 3:
            progress(agent)
            time.sleep(chance.uniform(0, 0.5))
        else:
            time.sleep(chance.uniform(0, 2.5))  # also while it starts
        operator.kill()
    place.operator()
    agent.rest()
    eventually(agent.done, what="everything to be acknowledged", deadline=120)
    assert len(agent.journal) > KILLS
    place.told(agent)


def lease(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = place.client.get(
        resource(LEASES, "leases", namespace=place.system, name="virtwatch-operator")
    )
    return found["spec"]


def holder(place: Place) -> str:
    return str(lease(place).get("holderIdentity") or "").rpartition("_")[0]


def leads(place: Place, operator: Process) -> None:
    eventually(lambda: holder(place) == operator.name, what=f"{operator.name} to hold the Lease")


def test_when_the_leader_is_killed_the_other_takes_over_and_repeats_nothing(flowing):
    place, agent, _ = flowing
    leader = place.operator(VIRTWATCH_LEASE="on")
    leads(place, leader)
    follower = place.operator(VIRTWATCH_LEASE="on")
    progress(agent)
    eventually(lambda: says(follower, "Waiting for the Lease"), what="the follower to wait")
    leader.kill()
    leads(place, follower)
    progress(agent)
    agent.rest()
    eventually(agent.done, what="everything to be acknowledged")
    place.told(agent)


def test_a_leader_that_stood_still_ends_when_it_finds_itself_replaced(flowing):
    place, agent, _ = flowing
    leader = place.operator(VIRTWATCH_LEASE="on")
    leads(place, leader)
    follower = place.operator(VIRTWATCH_LEASE="on")
    progress(agent)
    leader.signal(signal.SIGSTOP)
    leads(place, follower)
    progress(agent)
    leader.signal(signal.SIGCONT)
    eventually(lambda: not leader.alive, what="the old leader to end", deadline=LEASE_S)
    assert says(leader, "The Lease is lost")
    assert code(leader) == 1
    progress(agent)
    agent.rest()
    eventually(agent.done, what="everything to be acknowledged")
    place.told(agent)


def test_a_leader_that_ends_in_order_hands_the_lease_over_at_once(flowing):
    place, agent, _ = flowing
    leader = place.operator(VIRTWATCH_LEASE="on")
    leads(place, leader)
    follower = place.operator(VIRTWATCH_LEASE="on")
    eventually(lambda: says(follower, "Waiting for the Lease"), what="the follower to wait")
    progress(agent)
    renewed = lease(place)["renewTime"]
    leader.signal(signal.SIGTERM)
    eventually(lambda: not leader.alive, what="the leader to end", deadline=EXIT_S)
    assert code(leader) == 0
    leads(place, follower)
    taken = lease(place)["acquireTime"]
    assert timestamp(taken) - timestamp(renewed) < LEASE_S, "the follower leads before the Lease expires"
    progress(agent)


def code(operator: Process) -> int:
    operator.kill()
    return operator._child.returncode


def test_an_api_server_that_goes_and_comes_ends_nothing_and_is_said_once(flowing):
    place, agent, _ = flowing
    operator = place.operator()
    progress(agent)
    for _ in range(2):
        place.cluster.apiserver.kill()
        time.sleep(random.uniform(1, 3))
        place.api_server_returns()
        progress(agent)
    other = place.policy(name="made-afterwards")
    eventually(lambda: place.thresholds(other), what="a policy made afterwards to be in force")
    agent.rest()
    eventually(agent.done, what="everything to be acknowledged")
    assert operator.alive
    place.told(agent)
    lines = operator.log.read_text().splitlines()
    assert len(lines) < 60, "\n".join(lines)
    assert not [line for line in lines if "Traceback" in line]


def test_an_api_server_that_is_absent_at_the_start_is_waited_for(place: Place):
    key = place.policy()
    place.cluster.apiserver.kill()
    operators = [place.operator(), place.operator(VIRTWATCH_LEASE="on")]
    try:
        for operator in operators:
            eventually(lambda operator=operator: says(operator, " is lost; "), what="the operator to say so")
    finally:
        place.api_server_returns()
    eventually(lambda: place.thresholds(key), what="the policy to be in force")
    leads(place, operators[1])
    assert all(operator.alive for operator in operators)
    for operator in operators:
        assert operator.log.read_text().count("WARNING") == 1


def test_kinds_that_are_missing_at_the_start_are_waited_for(place: Place):
    crds = str(CHECKOUT / "crds")
    place.cluster.kubectl("delete", "--wait", "-f", crds)
    try:
        operator = place.operator()
        eventually(lambda: says(operator, "does not serve"), what="the operator to name the missing kinds")
        time.sleep(1)  # it goes on looking, and says nothing more
        assert ask(operator, "/healthz")[0] == 200
        assert ask(operator, "/readyz")[0] == 503
    finally:
        place.cluster.apply_crds(CHECKOUT / "crds")
    key = place.policy()
    eventually(lambda: place.thresholds(key), what="the policy to be in force")
    (warning,) = [line for line in operator.log.read_text().splitlines() if "WARNING" in line]
    assert "apply virtwatch's crds/" in warning
    assert "monitorpolicies" in warning
    assert operator.alive


def test_kinds_that_are_taken_away_and_given_back_are_served_again(place: Place):
    crds = str(CHECKOUT / "crds")
    operator = place.operator()
    key = place.policy()
    eventually(lambda: place.thresholds(key), what="the policy to be in force")
    place.cluster.kubectl("delete", "--wait", "-f", crds)
    place.cluster.apply_crds(CHECKOUT / "crds")
    key = place.policy(name="made-afterwards")
    eventually(lambda: place.thresholds(key), what="a policy made afterwards to be in force")
    assert operator.alive


def ask(operator: Process, path: str) -> tuple[int, str]:
    port = operator._command.env["VIRTWATCH_HEALTH_PORT"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()
    except OSError:
        return 0, ""


def test_probes_tell_a_leader_that_works_from_one_that_waits(place: Place):
    leader = place.operator(VIRTWATCH_LEASE="on")
    leads(place, leader)
    follower = place.operator(VIRTWATCH_LEASE="on")
    for operator, line in ((leader, "ok: first list of nodemonitors"), (follower, "ok: the Lease can be read")):
        eventually(lambda operator=operator, line=line: line in ask(operator, "/readyz")[1], what=line)
        eventually(lambda operator=operator: ask(operator, "/readyz")[0] == 200, what="readiness")
        assert ask(operator, "/healthz")[0] == 200
        assert ask(operator, "/other")[0] == 404


def test_a_wrong_setting_ends_the_operator_with_a_sentence(place: Place):
    operator = place.operator(VIRTWATCH_LEASE="maybe")
    eventually(lambda: not operator.alive, what="the operator to end")
    assert code(operator) == 2
    assert says(operator, 'VIRTWATCH_LEASE: must be on or off, not "maybe"')


def test_rights_that_are_missing_are_named_and_waited_for(place: Place):
    kubectl = place.cluster.kubectl
    kubectl("create", "serviceaccount", "operator", f"--namespace={place.system}")
    kubeconfig = place.cluster.service_account_kubeconfig(place.system, "operator")
    operator = place.operator(KUBECONFIG=str(kubeconfig))
    eventually(lambda: says(operator, "403 Forbidden"), what="the operator to say what it may not do")
    assert says(operator, "apply the RBAC")
    kubectl(
        "create",
        "clusterrolebinding",
        place.name,
        "--clusterrole=cluster-admin",
        f"--serviceaccount={place.system}:operator",
    )
    try:
        key = place.policy()
        eventually(lambda: place.thresholds(key), what="the policy to be in force")
    finally:
        kubectl("delete", "clusterrolebinding", place.name)
    assert operator.alive
    assert json.loads(kubeconfig.read_text())["kind"] == "Config"


def test_what_changes_while_rights_are_lost_is_noticed_when_they_are_back(place: Place):
    kubectl = place.cluster.kubectl
    kubectl("create", "serviceaccount", "operator", f"--namespace={place.system}")
    account = f"--serviceaccount={place.system}:operator"
    bind = ("create", "clusterrolebinding", place.name, "--clusterrole=cluster-admin", account)
    kubeconfig = place.cluster.service_account_kubeconfig(place.system, "operator")
    kubectl(*bind)
    try:
        operator = place.operator(KUBECONFIG=str(kubeconfig))
        first = place.policy()
        eventually(lambda: place.thresholds(first), what="the policy to be in force")
        kubectl("delete", "clusterrolebinding", place.name)
        # A stream that stands is not cut by a right that goes: the API server is started again.
        place.cluster.apiserver.kill()
        place.api_server_returns()
        changed = place.policy(name="meanwhile")
        eventually(lambda: says(operator, "403"), what="the operator to say what it may not do")
        kubectl(*bind)
        eventually(lambda: place.thresholds(changed), what="what changed meanwhile to be in force")
        eventually(lambda: ask(operator, "/readyz")[0] == 200, what="readiness")
    finally:
        kubectl("delete", "clusterrolebinding", place.name, check=False)

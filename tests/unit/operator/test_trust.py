# What a node is believed about: its own VMs, in an agent's words.
from dataclasses import replace

import pytest

from tests.unit.operator.builders import (
    AT,
    CLUSTER_POLICY,
    PLAIN,
    POLICY,
    VMI,
    applied,
    facts,
    firing,
    monitor,
    status,
    transition,
)
from virtwatch_api.alert import Action, AlertKey
from virtwatch_api.catalogue.absence import UNASKED
from virtwatch_api.catalogue.events import EVENTS
from virtwatch_api.catalogue.signals import SIGNALS
from virtwatch_api.nodemonitor import Counts, Evidence, Replaced, Unavailable
from virtwatch_api.nodemonitor_codec import format_time
from virtwatch_api.policy import (
    Aggregate,
    Bound,
    CountBy,
    CountPattern,
    EventMatch,
    Function,
    Level,
    PatternRule,
    PolicyKey,
    PolicyKind,
    Rule,
    Severity,
)
from virtwatch_api.targets import Subject, namespace_ref, node_ref, pool_ref
from virtwatch_kube.errors import NotFound
from virtwatch_operator.nodes.evidence import own_words
from virtwatch_operator.nodes.machines import LINGER_S, VirtualMachines
from virtwatch_operator.nodes.trust import Doubts, Trust, cleaned
from virtwatch_operator.policies import PolicyBook
from virtwatch_rules.wording import describe_gone, describe_idle, describe_silence, describe_value


class Api:
    """Answers with the VMIs as they are now, which a watch hears of later."""

    def __init__(self):
        self.now = {}

    def get(self, path, *, metadata_only=False):
        name = path.rpartition("/")[2]
        if name not in self.now:
            raise NotFound("no such VMI", status=404)
        return {"metadata": self.now[name]["metadata"]} if metadata_only else self.now[name]


class Place:
    def __init__(self):
        self.api, self.clock, self.moved = Api(), 10_000.0, []
        self.machines = VirtualMachines(
            client=self.api, moved=self.moved.append, clock=lambda: self.clock, wall_clock=lambda: AT
        )
        self.machines.on_synced()
        self.clock += LINGER_S  # nothing is owed any more to what ended before
        self.policies = {POLICY, CLUSTER_POLICY}
        self.trust = Trust(self.machines, exists=lambda key: key in self.policies, judges=self.judges)

    def judges(self, policy, rule):
        return (policy, rule) == (CLUSTER_POLICY, "together")

    def vmi(self, node, *, target="", uid=VMI.uid, name="web-1"):
        labels = {"kubevirt.io/nodeName": node, **({"kubevirt.io/migrationTargetNodeName": target} if target else {})}
        metadata = {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": "1", "labels": labels}
        return {"metadata": metadata}

    def moves(self, source, target, *, ended=AT, now_on="", **more):
        """Let the VM have moved, as KubeVirt writes it."""
        end = {"endTimestamp": format_time(ended)} if ended else {}
        migration = {"sourceNode": source, "targetNode": target, **end, **more}
        self.api.now["web-1"] = {**self.vmi(now_on or target), "status": {"migrationState": migration}}

    def doubt_now(self, node):
        return self.trust.doubt_now(node, transition(subject=replace(VMI, node=node)))

    def is_on(self, node, subject=VMI):
        return not self.trust.doubt(node, transition().alert, replace(subject, node=node))


@pytest.fixture
def place():
    return Place()


def test_a_vm_is_where_it_is_where_it_goes_and_where_it_was(place):
    here, leaving, there = place.vmi("n1"), place.vmi("n1", target="n2"), place.vmi("n2")
    place.machines.on_change(None, here)
    assert (place.is_on("n1"), place.is_on("n2")) == (True, False)
    place.machines.on_change(here, leaving)
    assert (place.is_on("n1"), place.is_on("n2")) == (True, True)
    place.machines.on_change(leaving, there)
    assert (place.is_on("n1"), place.is_on("n2"), place.is_on("n3")) == (True, True, False)
    place.clock += LINGER_S
    assert (place.is_on("n1"), place.is_on("n2")) == (False, True)
    assert place.moved == ["n1", "n2", "n1"]


def test_the_end_of_a_vm_can_still_be_reported_from_where_it_was(place):
    here = place.vmi("n1")
    place.machines.on_change(None, here)
    place.machines.on_change(here, None)
    place.machines.on_change(None, place.vmi("n2", uid="made-anew"))
    assert (place.is_on("n1"), place.is_on("n2")) == (True, False)
    assert place.is_on("n2", replace(VMI, uid="made-anew"))
    place.clock += LINGER_S
    assert not place.is_on("n1")


def test_what_ended_before_a_new_leader_began_can_still_be_reported(place):
    place.clock -= LINGER_S
    assert place.is_on("n1")
    place.machines.on_change(None, place.vmi("n2"))
    assert not place.is_on("n1")  # it did not end


def test_a_watch_that_is_behind_is_no_reason_for_doubt(place):
    place.api.now["web-1"] = place.vmi("n1")
    assert place.trust.doubt_now("n1", transition()) == ""
    assert "is not on that node" in place.trust.doubt_now("n2", transition(subject=replace(VMI, node="n2")))


def test_of_a_policy_that_is_gone_only_ends_are_reported(place):
    place.machines.on_change(None, place.vmi("n1"))
    place.policies.clear()
    assert place.trust.doubt_now("n1", transition()) == "there is no such policy"
    assert place.trust.doubt_now("n1", transition(action=Action.RESOLVED, severity=None)) == ""


def test_a_new_leader_asks_about_a_vm_that_its_watch_has_not_told_of(place):
    place.clock -= LINGER_S
    place.api.now["web-1"] = place.vmi("n2")
    assert "is not on that node" in place.trust.doubt_now("n1", transition())


def test_a_new_leader_believes_the_node_that_a_vm_has_just_left(place):
    place.moves("n1", "n2", ended=AT - 60)
    place.machines.on_change(None, place.vmi("n2"))
    assert not place.is_on("n1")  # by what the watch of VMIs says
    assert "is not on that node" in place.doubt_now("n3")
    assert place.doubt_now("n1") == ""
    assert (place.is_on("n1"), place.is_on("n2"), place.is_on("n3")) == (True, True, False)
    assert "n1" in place.moved, "policies count it again"
    place.clock += LINGER_S - 60
    assert not place.is_on("n1")


@pytest.mark.parametrize("ended", [AT - 660, AT + 660])
def test_one_that_left_11_minutes_ago_is_not_believed(place, ended):
    place.moves("n1", "n2", ended=ended)
    place.machines.on_change(None, place.vmi("n2"))
    assert "is not on that node" in place.doubt_now("n1")


def test_a_clock_that_is_ahead_lets_a_node_speak_no_longer(place):
    place.moves("n1", "n2", ended=AT + 30)
    place.machines.on_change(None, place.vmi("n2"))
    assert place.doubt_now("n1") == ""
    place.clock += LINGER_S
    assert not place.is_on("n1")


@pytest.mark.parametrize("completed", [True, False])
def test_that_a_vm_is_on_the_target_shows_that_it_moved(place, completed):
    """KubeVirt writes `completed` some moments after the label and the end; a migration that failed moves no VM."""
    place.moves("n1", "n2", completed=completed)
    place.machines.on_change(None, place.vmi("n2"))
    assert place.doubt_now("n1") == ""


@pytest.mark.parametrize(
    "more",
    [
        {"now_on": "n3", "failed": True, "completed": True},
        {"ended": None},
        {"source": None},
        {"source": ["n1"]},
        {"target": None, "now_on": "n2"},
        {"endTimestamp": "yesterday"},
        {"endTimestamp": 5},
    ],
)
def test_a_vmi_that_tells_of_no_finished_move_lets_nobody_speak(place, more):
    place.moves(**{"source": "n1", "target": "n2", **more})
    place.machines.on_change(None, {"metadata": place.api.now["web-1"]["metadata"]})
    assert "is not on that node" in place.doubt_now("n1")


def test_what_a_namesake_did_is_no_word_about_a_vm(place):
    place.machines.on_change(None, place.vmi("n2"))
    place.moves("n1", "n2")
    place.api.now["web-1"]["metadata"]["uid"] = "made-anew"
    assert "is not on that node" in place.doubt_now("n1")


def test_a_vmi_without_a_status_is_read_whole_in_vain(place):
    place.api.now["web-1"] = place.vmi("n2")
    place.machines.on_change(None, place.vmi("n2"))
    assert "is not on that node" in place.doubt_now("n1")


def test_a_handover_is_believed_while_the_vm_migrates(place):
    place.machines.on_change(None, place.vmi("n1", target="n2"))
    assert place.trust.may_hand_over(VMI, to="n2")
    assert not place.trust.may_hand_over(VMI, to="n3")


def test_a_node_speaks_of_no_other_node_and_a_policy_of_no_other_namespace(place):
    place.machines.on_change(None, place.vmi("n1"))
    alert = transition().alert
    assert "is about node n1" in place.trust.doubt("n2", alert, VMI)
    foreign = replace(alert, policy=replace(POLICY, namespace="kube-system"))
    assert "watches no VM outside its namespace" in place.trust.doubt("n1", foreign, VMI)
    assert "watches no VM outside its namespace" in place.trust.doubt("n1", alert, PLAIN)
    assert place.trust.doubt("n1", replace(alert, policy=CLUSTER_POLICY), PLAIN) == ""
    assert "name that none can have" in place.trust.doubt("n1", replace(alert, rule="call +1 555"), VMI)


@pytest.mark.parametrize("action", [Action.FIRED, Action.RESOLVED])
@pytest.mark.parametrize("target", [namespace_ref("shop"), pool_ref("storageclass/fast"), pool_ref("some-uuid")])
def test_an_alert_that_the_operator_judges_is_no_nodes(place, target, action):
    subject = Subject(label="fast", target=target, node="n1")
    said = transition(action=action, policy=CLUSTER_POLICY, rule="together", subject=subject)
    assert "operator" in place.trust.doubt_now("n1", said)
    assert "operator" in place.trust.doubt("n1", said.alert, subject)


def test_a_storageclass_is_no_nodes_even_before_rules_are_known(place):
    subject = Subject(label="fast", target=pool_ref("storageclass/fast"), node="n1")
    said = transition(action=Action.RESOLVED, policy=CLUSTER_POLICY, rule="not-known-yet", subject=subject)
    assert "judges StorageClasses" in place.trust.doubt_now("n1", said)


@pytest.mark.parametrize("by", CountBy)
def test_a_policy_says_which_of_its_rules_span_nodes(by):
    book = PolicyBook()
    pattern = CountPattern(EventMatch("vm.crashed"), 2, 600.0, by)
    book.put(replace(facts(), rules=(Rule("together", PatternRule(Severity.CRITICAL, pattern)),)))
    assert book.spans_nodes(POLICY, "together") is (by in (CountBy.NAMESPACE, CountBy.STORAGE_POOL))
    assert not book.spans_nodes(POLICY, "another")


def test_a_pools_own_rules_are_its_nodes(place):
    subject = Subject(label="images", target=pool_ref("some-uuid"), node="n1")
    said = transition(policy=CLUSTER_POLICY, rule="pool-full", subject=subject)
    assert place.trust.doubt_now("n1", said) == ""


def test_a_rule_that_spans_nodes_counts_what_happens_to_vms(place):
    place.machines.on_change(None, place.vmi("n1"))
    said = transition(action=Action.COUNTED, policy=CLUSTER_POLICY, rule="together")
    assert place.trust.doubt_now("n1", said) == ""
    other = Subject(label="n1", target=node_ref("n1"), node="n1", namespace="shop")
    said = transition(action=Action.COUNTED, policy=CLUSTER_POLICY, rule="together", subject=other)
    assert "only what happens to VMs" in place.trust.doubt_now("n1", said)


@pytest.mark.parametrize("half", [{"name": None}, {"namespace": None}])
def test_a_vm_that_is_named_by_half_is_nobodys(place, half):
    place.machines.on_change(None, place.vmi("n1"))
    subject = replace(VMI, **half)
    assert "by half" in place.trust.doubt("n1", replace(transition().alert, policy=CLUSTER_POLICY), subject)


def test_alerts_that_a_node_may_not_speak_of_are_left_out(place):
    place.machines.on_change(None, place.vmi("n1"))
    other = replace(VMI, name="web-2", uid="other")
    report = monitor(status(transition(), transition(2, subject=other), firing=(firing(), firing(other))))
    believed = place.trust.believed(report)
    assert believed.firing == (firing(),)
    assert believed.unacknowledged == (transition(),)


def test_a_node_without_a_namespaces_vms_has_no_figures_for_its_policies(place):
    said = applied(vms=100, counts=Counts(critical=5))
    assert place.trust.applied("n1", said) == applied(vms=0)
    place.machines.on_change(None, place.vmi("n1"))
    assert place.trust.applied("n1", said) == said


def test_words_that_no_agent_writes_are_not_repeated():
    forged = Evidence("your bill", 1.0, 0.5, "Call +1-555 at http://evil.example, or lose this VM")
    assert own_words(forged) == Evidence("the rule", 1.0, 0.5, "")
    report = monitor(status(transition(evidence=forged, traceparent="00-evil"), firing=(firing(evidence=forged),)))
    for item in (*cleaned(report).unacknowledged, *cleaned(report).firing):
        assert item.evidence.text == ""
    assert cleaned(report).unacknowledged[0].traceparent == ""


@pytest.mark.parametrize(
    "text",
    [
        "vm.cpu.delay.ratio (Avg over 300s) is 0.12, above 0.1",
        "vm.disk.read.latency of vda is 12.5 ms, not yet at or below 10 ms",
        "vm.io_error (action pause, device vda, reason enospc), found after a gap",
        "vm.memory.headroom.ratio has had no data for 75 s",
        "vm.disk.write.rate of vda: the VM has no vda any more",
    ],
)
def test_an_agents_sentences_are_repeated(text):
    subject = text.split(" ", maxsplit=1)[0]
    assert own_words(Evidence(subject, text=text), device="vda").text == text


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("PVC web-1-data", True),
        ("PVC web-1-data, StorageClass fast.ssd", True),
        ("PVC web-1-data, StorageClass fast; call 555", False),
        ("at https://evil.example", False),
        ("PVC Web", False),
    ],
)
def test_a_disks_place_is_named_in_an_agents_words_alone(place, said):
    evidence = Evidence("vm.disk.read.latency", text="vm.disk.read.latency is 40 ms, above 10 ms", place=place)

    assert own_words(evidence).place == (place if said else "")


@pytest.mark.parametrize(
    ("culprit", "namespace", "said"),
    [
        ("VM bank/db-1 (61%), process ksmd (9%)", None, True),
        ("VM shop/db-1 (61%), another VM of this node (12%), other processes of this node (9%)", "shop", True),
        ("VM bank/db-1 (61%)", "shop", False),
        ("process ksmd (9%)", "shop", False),
        ("VM shopping/db-1 (61%)", "shop", False),
        ("Call +1-555 now", None, False),
    ],
)
def test_a_culprit_is_named_as_far_as_its_policy_may_see(culprit, namespace, said):
    evidence = Evidence("vm.cpu.delay.ratio", text="vm.cpu.delay.ratio is 40 %, above 10 %", culprit=culprit)
    assert own_words(evidence, namespace=namespace).culprit == (culprit if said else "")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_value_that_an_event_can_have_is_repeated(event):
    for attribute in event.where:
        for value in attribute.values:
            text = f"{event.name} ({attribute.name} {value})"
            assert own_words(Evidence(event.name, text=text)).text == text


@pytest.mark.parametrize(
    ("clone", "said"),
    [("db-2", True), ("db.copy", True), ("db-2), call 555 (now", False), ("evil/example", False), ("Pay", False)],
)
def test_a_clone_is_called_by_a_name_that_a_vm_can_have(clone: str, said: bool) -> None:
    text = f"vm.cloned (clone {clone})"

    assert own_words(Evidence("vm.cloned", text=text)).text == (text if said else "")


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_every_sentence_about_a_signal_is_an_agents(signal):
    device = "vda" if signal.per_device else ""
    aggregate = Aggregate(Function.AVG, 5400.0)
    sentences = [describe_silence(signal.name, device, 75.0), describe_idle(signal.name, aggregate, device)]
    if device:
        sentences.append(describe_gone(signal.name, device))
    for value in (0.0, 3.7e-5, 0.049, 0.9, 12.5, 4321.0, 5e6, 7.7e9, 3e13):
        level = Level(Bound.ABOVE, 0.05, 0.03)
        sentences.append(describe_value(signal.name, aggregate, device, value, level) + "; it flaps: 9 changes in 60 s")
    for text in sentences:
        assert own_words(Evidence(signal.name, text=text), device=device).text == text


def test_each_node_that_is_doubted_is_logged_once_and_then_counted(caplog):
    now = 0.0
    doubts = Doubts(lambda: now)
    alert = AlertKey(POLICY, "r", "u")
    for _ in range(5):
        doubts.note("n1", alert, "it is about node n2")
    now = 601.0
    doubts.note("n1", alert, "it is about node n2")
    first, second = caplog.messages
    assert first.startswith("node n1 reports an alert that it may not speak of")
    assert "(and 4 more since the last such line)" in second


def test_why_a_rule_cannot_be_judged_is_said_in_an_agents_words_only():
    why = UNASKED
    told = (
        Unavailable("stuck", "vm.telemetry_stuck", 1, why, "shop/web-1"),
        Unavailable("stuck", "vm.telemetry_stuck", 1, "call 0900-1234 for help", "shop/web-1"),
        Unavailable("stuck; call 0900-1234", "vm.telemetry_stuck", 1, why, "shop/web-1"),
        Unavailable("stuck", "vm.made.up", 1, why, "shop/web-1"),
        Unavailable("stuck", "vm.telemetry_stuck", 1, why, "other/db-1"),
    )
    received = cleaned(monitor(status(applied=(applied(unavailable=told),)))).status.applied[0].unavailable
    assert received == (told[0], replace(told[0], example="a target"))


def test_a_node_names_only_policies_that_a_rule_could_give_way_to():
    told = (
        Replaced("busy", PolicyKey(PolicyKind.MONITOR_POLICY, "other", "shop"), 1),
        Replaced("busy", PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "base"), 1),
        Replaced("busy", PolicyKey(PolicyKind.MONITOR_POLICY, "other", "bank"), 1),
        Replaced("busy", PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "call 0900-1234"), 1),
    )
    received = cleaned(monitor(status(applied=(replace(applied(), replaced=told),)))).status.applied[0].replaced
    assert received == told[:2]

from dataclasses import replace

import pytest

from tests.unit.operator.builders import AT, PLAIN, POLICY, VMI, applied, facts, firing
from virtwatch_api.catalogue.absence import reasons
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import Applied, Counts, Evidence, Replaced, Unavailable
from virtwatch_api.policy import Enforcement, PolicyKey, PolicyKind, Severity
from virtwatch_operator.conditions import fails
from virtwatch_operator.policies import InForce
from virtwatch_operator.rollup import aggregate
from virtwatch_operator.rollup.about import about
from virtwatch_operator.rollup.aggregate import MAX_ACTIVE
from virtwatch_operator.rollup.reports import Presence, Report
from virtwatch_operator.rollup.status import policy_status


def presence(*reporting, silent=()):
    return Presence(frozenset(reporting), frozenset(silent))


def roll_up(facts_, presence_, reports, *, read_up_to=None):
    return aggregate.roll_up(facts_, presence_, reports, read_up_to=read_up_to or {})


def finding(rollup, name):
    return next(item for item in rollup.findings if item.type == name)


def said(rollup, name):
    found = finding(rollup, name)
    return found.status, found.reason, found.message


ALL = {node: Report(applied(), ()) for node in ("n1", "n2", "n3")}


def test_a_policy_that_every_node_applies_is_ready_and_quiet():
    rollup = roll_up(facts(), presence("n1", "n2", "n3"), ALL)
    assert said(rollup, "Distributed") == (True, "Applied", "Every node applies generation 3.")
    assert said(rollup, "Ready") == (True, "Watching", "Watching 6 VMs on 3 nodes. Every node applies generation 3.")
    assert said(rollup, "Quiet") == (True, "NoAlert", "No alert fires.")
    assert (rollup.virtual_machines, rollup.nodes, rollup.nodes_applied) == (6, 3, 3)


def test_a_node_with_another_hash_or_none_is_waited_for_by_name():
    reports = {"n1": Report(applied(), ()), "n2": Report(applied("old"), ())}
    rollup = roll_up(facts(), presence("n1", "n2", "n3"), reports)
    message = "Waiting for n2, n3 to apply generation 3."
    assert said(rollup, "Distributed") == (False, "Waiting", message)
    assert said(rollup, "Ready") == (False, "NotDistributed", message)


def test_a_node_that_says_nothing_applies_what_it_has_read():
    read = {"n1": 40, "n2": 41, "n3": 900}
    rollup = roll_up(facts(version="41"), presence(*read), {}, read_up_to=read)
    assert said(rollup, "Distributed")[2] == "Waiting for n1 to apply generation 3."
    rollup = roll_up(facts(version="41"), presence(*read), {}, read_up_to={**read, "n1": 41})
    assert said(rollup, "Distributed")[:2] == (True, "Applied")
    assert (rollup.virtual_machines, rollup.nodes, rollup.nodes_applied) == (0, 0, 0)


def test_a_node_that_comes_changes_no_word_of_a_status():
    read = {"n1": 50, "n2": 50, "n3": 50, "n4": 50}
    before = roll_up(facts(version="41"), presence("n1", "n2", "n3"), ALL, read_up_to=read)
    assert roll_up(facts(version="41"), presence(*read), ALL, read_up_to=read) == before


def test_where_nodes_fall_silent_nobody_can_tell_that_all_is_well():
    rollup = roll_up(facts(), presence("n1", silent=["n2"]), ALL)
    assert said(rollup, "Quiet")[:2] == (None, "NodesSilent")
    nothing_there = {**ALL, "n2": Report(applied(vms=0), ())}
    assert said(roll_up(facts(), presence("n1", silent=["n2"]), nothing_there), "Quiet")[0] is True


def test_many_missing_nodes_are_not_all_named():
    rollup = roll_up(facts(), presence(*(f"n{index}" for index in range(9))), {})
    assert said(rollup, "Distributed")[2] == "Waiting for n0, n1, n2 and 6 more to apply generation 3."


def test_a_node_that_rejects_says_why():
    reports = {**ALL, "n2": Report(applied(rejected="spec.rules: upgrade the agent"), ())}
    status, reason, message = said(roll_up(facts(), presence(*ALL), reports), "Distributed")
    assert (status, reason) == (False, "Rejected")
    assert "Node n2 rejects generation 3: spec.rules: upgrade the agent" in message


def test_nobody_waits_for_a_silent_node_but_it_is_named():
    rollup = roll_up(facts(), presence("n1", "n2", silent=["n3"]), ALL)
    assert said(rollup, "Distributed") == (
        True,
        "Applied",
        "Every node applies generation 3. 1 node has fallen silent: n3.",
    )


def test_where_no_node_reports_nothing_is_called_quiet():
    rollup = roll_up(facts(), presence(), {})
    assert said(rollup, "Distributed")[:2] == (False, "NoNodes")
    assert said(rollup, "Quiet")[:2] == (None, "NoNodes")


def test_a_policy_that_was_never_valid_has_nothing_in_force():
    refused = fails("Accepted", "Invalid", "spec.rules: …")
    rollup = roll_up(facts(accepted=refused, in_force=None), presence("n1"), {})
    assert finding(rollup, "Accepted") is refused
    assert said(rollup, "Distributed")[:2] == (False, "NothingInForce")
    assert said(rollup, "Ready")[:2] == (False, "NotAccepted")
    assert said(rollup, "Quiet")[:2] == (None, "NothingInForce")
    assert rollup.effective_generation is None


def test_a_policy_that_turned_invalid_goes_on_with_what_it_had():
    refused = fails("Accepted", "Invalid", "spec.rules: …")
    rollup = roll_up(facts(generation=4, accepted=refused), presence(*ALL), ALL)
    assert said(rollup, "Distributed")[0] is True
    assert said(rollup, "Ready")[2] == "Generation 4 is not accepted: see Accepted. Generation 3 stays in force."
    assert rollup.effective_generation == 3


@pytest.mark.parametrize(
    ("enforcement", "reason"), [(Enforcement.SUSPENDED, "Suspended"), (Enforcement.OBSERVE, "Observing")]
)
def test_quiet_says_why_nothing_can_fire(enforcement, reason):
    rollup = roll_up(facts(in_force=InForce("h1", 3, enforcement)), presence(*ALL), ALL)
    assert said(rollup, "Quiet")[:2] == (True, reason)


def test_what_fires_is_listed_worst_first_and_the_worst_is_told():
    warning = firing(PLAIN, Severity.WARNING, since=AT - 900)
    late, early = firing(rule="b", since=AT), firing(rule="a", since=AT - 60)
    reports = {
        "n1": Report(applied(counts=Counts(1, 1, 1)), (late, warning)),
        "n2": Report(applied(counts=Counts(0, 0, 1)), (early,)),
    }
    rollup = roll_up(facts(), presence("n1", "n2"), reports)
    assert rollup.active == (early, late, warning)
    assert rollup.counts == Counts(1, 1, 2)
    status, reason, message = said(rollup, "Quiet")
    assert (status, reason) == (False, "Firing")
    assert message == (
        "3 alerts fire, 2 critical. Worst: Critical a for VM shop/web-1 on node n1 since 2026-11-18T11:05:40Z: "
        "vm.cpu.delay.ratio (Avg over 300s) is 0.12, above 0.1."
    )


def test_an_alert_that_migrates_counts_once():
    moved = firing(replace(VMI, node="n2"), since=AT + 5)
    reports = {"n1": Report(applied(), (firing(),)), "n2": Report(applied(), (moved,))}
    assert roll_up(facts(), presence("n1", "n2"), reports).active == (firing(),)


def test_counts_tell_what_a_node_cut_from_its_list():
    reports = {"n1": Report(applied(counts=Counts(0, 40, 2)), (firing(),))}
    assert said(roll_up(facts(), presence("n1"), reports), "Quiet")[2].startswith("42 alerts fire, 2 critical.")


def test_the_status_holds_no_more_than_its_schema_allows():
    many = tuple(firing(rule=f"r{index}") for index in range(50))
    rollup = roll_up(facts(), presence("n1"), {"n1": Report(applied(), many)})
    status = policy_status(facts(), rollup, generation=3, previous={}, now=AT)
    assert len(status["activeAlerts"]) == MAX_ACTIVE


def test_an_active_alert_reads_well():
    event = Evidence("vm.io_error", text="vm.io_error (action pause)")
    active = (firing(device="vda"), firing(PLAIN, Severity.WARNING, rule="paused", evidence=event))
    rollup = roll_up(facts(), presence("n1"), {"n1": Report(applied(), active)})
    status = policy_status(facts(), rollup, generation=3, previous={}, now=AT)
    assert status["activeAlerts"] == [
        {
            "alert": "Critical: rule cpu-starved fires for VM shop/web-1: vm.cpu.delay.ratio (Avg over 300s) is 0.12, "
            "above 0.1",
            "rule": "cpu-starved",
            "severity": "Critical",
            "target": "shop/web-1 vda",
            "node": "n1",
            "value": "12 %",
            "threshold": "10 %",
            "since": "2026-11-18T11:06:40Z",
            "traceID": "4bf92f3577b34da6a3ce929d0e0e4736",
        },
        {
            "alert": "Warning: rule paused fires for VM builder: vm.io_error (action pause)",
            "rule": "paused",
            "severity": "Warning",
            "target": "builder",
            "node": "n1",
            "value": "vm.io_error (action pause)",
            "since": "2026-11-18T11:06:40Z",
            "traceID": "4bf92f3577b34da6a3ce929d0e0e4736",
        },
    ]


def test_a_status_that_says_nothing_new_is_the_same_document():
    rollup = roll_up(facts(), presence(*ALL), ALL)
    first = policy_status(facts(), rollup, generation=3, previous={}, now=AT)
    assert policy_status(facts(), rollup, generation=3, previous=first, now=AT + 500) == first


def test_an_alert_on_its_way_between_two_nodes_fires_and_is_counted_once():
    moving = (firing(VMI),)
    between = {"n1": Report(applied(), (), moving), "n2": Report(applied(), (), moving)}
    arrived = {"n1": Report(applied(), (), moving), "n2": Report(applied(counts=Counts(critical=1)), moving)}

    for reports in (between, arrived):
        rollup = roll_up(facts(), presence("n1", "n2"), reports)
        assert rollup.counts == Counts(critical=1)
        assert [item.alert for item in rollup.active] == [firing(VMI).alert]
        assert finding(rollup, "Quiet").status is False


NO_REPORT = next(reason for reason in reasons("vm.memory.headroom.ratio") if reason.startswith("the guest"))


def lacks(targets, example):
    return Unavailable("memory", "vm.memory.headroom.ratio", targets, NO_REPORT, example)


def test_a_rule_that_cannot_be_judged_is_named_with_whom_and_why():
    assert said(roll_up(facts(), presence("n1"), ALL), "Judged")[:2] == (True, "Complete")
    one = {**ALL, "n1": Report(applied(unavailable=(lacks(1, "shop/web-1"),)), ())}
    assert said(roll_up(facts(), presence(*one), one), "Judged") == (
        False,
        "SignalsMissing",
        f"Rule memory cannot be judged for shop/web-1 on node n1: no vm.memory.headroom.ratio ({NO_REPORT}).",
    )
    two = {**one, "n2": Report(applied(unavailable=(lacks(2, "shop/db-1"),)), ())}
    message = said(roll_up(facts(), presence(*two), two), "Judged")[2]
    assert message.startswith(
        "Rule memory cannot be judged for shop/db-1 on node n2 and 2 more on 2 nodes: no vm.memory"
    )


def test_of_many_rules_that_cannot_be_judged_three_are_named_and_all_counted():
    lacking = tuple(replace(lacks(1, "shop/web-1"), rule=f"memory-{number}") for number in range(8))
    many = {"n1": Report(applied(unavailable=lacking), ())}
    message = said(roll_up(facts(), presence("n1"), many), "Judged")[2]
    assert message.count("cannot be judged") == 3
    assert message.endswith(" And 5 more signals are missing.")


def test_where_no_node_reports_nobody_can_tell_what_is_judged():
    assert said(roll_up(facts(), presence(), {}), "Judged")[:2] == (None, "NoNodes")
    assert said(roll_up(facts(in_force=None), presence("n1"), ALL), "Judged")[:2] == (None, "NothingInForce")


def test_an_active_alert_names_who_took_what_its_vm_lacks():
    starved = firing()
    starved = replace(starved, evidence=replace(starved.evidence, culprit="VM shop/db-1 (61%)"))
    rollup = roll_up(facts(), presence("n1"), {"n1": Report(applied(), (starved,))})
    status = policy_status(facts(), rollup, generation=3, previous={}, now=AT)
    assert status["activeAlerts"][0]["culprit"] == "VM shop/db-1 (61%)"


def lines(facts_, presence_, reports):
    return about(facts_, roll_up(facts_, presence_, reports))


def test_a_status_says_first_what_is_watched_what_fires_and_who_is_told():
    watched = facts(rules=2, interval=15.0)
    assert lines(watched, presence(*ALL), ALL) == (
        "Watches 6 VMs on 3 nodes (n1, n2, n3) by 2 rules, each 15s.",
        "No alert fires.",
        "Alerts become Kubernetes Events; nobody else is notified, as spec.notify names no channel.",
    )
    busy = {"n1": Report(applied(counts=Counts(1, 40, 2)), tuple(firing(rule=f"r{number}") for number in range(30)))}
    assert lines(watched, presence("n1"), busy)[1] == (
        "42 alerts fire, 2 of them Critical. The 20 worst are listed in activeAlerts, 22 are not. "
        "1 alert waits for the time of `for`."
    )


def test_a_status_says_first_where_a_policy_does_not_apply_and_why():
    other = PolicyKey(PolicyKind.MONITOR_POLICY, "web-tier-2", "shop")
    replaced = Applied(POLICY, "h1", replaced=(Replaced("cpu-starved", other, 2),))
    silent = presence("n1", silent=["n9"])
    assert lines(facts(selects="labels tier=db"), silent, {"n1": Report(replaced, ())})[:3] == (
        "Watches nothing now: its rules give way to those of more specific policies.",
        "Every node applies generation 3. 1 node has fallen silent: n9.",
        "Rule cpu-starved gives way to that of MonitorPolicy shop/web-tier-2 for 2 targets.",
    )
    nothing = lines(facts(selects="labels tier=db"), presence("n1"), {})[0]
    assert nothing == "Watches nothing now: it selects no VM with labels tier=db in namespace shop."
    rejected = {**ALL, "n2": Report(applied(rejected="spec.rules: upgrade the agent"), ())}
    assert "Node n2 rejects generation 3: spec.rules: upgrade the agent" in lines(facts(), presence(*ALL), rejected)[1]
    refused = fails("Accepted", "Invalid", "spec.rules: wrong.")
    assert lines(facts(generation=4, accepted=refused), presence(*ALL), ALL)[1] == (
        "Generation 4 is not valid: spec.rules: wrong. Generation 3 stays in force."
    )


def test_a_policy_on_nodes_watches_nodes():
    nodes = facts(kind=TargetKind.NODE, rules=1)
    reports = {node: Report(replace(applied(vms=0), targets=1), ()) for node in ("n1", "n2")}
    rollup = roll_up(nodes, presence("n1", "n2"), reports)
    assert about(nodes, rollup)[0] == "Watches 2 nodes (n1, n2) by 1 rule."
    assert said(rollup, "Ready")[2] == "Watching 2 nodes. Every node applies generation 3."
    assert policy_status(nodes, rollup, generation=3, previous={}, now=AT)["targets"]["selected"] == 2


def test_a_policy_on_storage_pools_counts_them():
    pools = facts(kind=TargetKind.STORAGE_POOL)
    rollup = roll_up(pools, presence("n1"), {"n1": Report(replace(applied(vms=0), targets=3), ())})
    assert about(pools, rollup)[0] == "Watches 3 storage pools on 1 node (n1)."
    assert said(rollup, "Ready")[2] == "Watching 3 storage pools on 1 node. Every node applies generation 3."


def test_a_policy_that_only_observes_says_what_would_have_fired():
    observing = facts(in_force=InForce("h1", 3, Enforcement.OBSERVE))
    told = lines(observing, presence("n1"), {"n1": Report(replace(applied(), would_have_fired=4), ())})
    assert "4 alerts would have fired in the last 24 hours; nobody is notified, as enforcement is Observe." in told


def test_how_far_anomaly_rules_have_learned_is_said():
    def told(*items):
        reports = {f"n{number}": Report(item, ()) for number, item in enumerate(items)}
        return [line for line in lines(facts(), presence(*reports), reports) if "nomaly" in line]

    assert told(replace(applied(), warming_up=1), replace(applied(), warming_up=2)) == [
        "3 anomaly rules on targets learn what is usual: for 7 days nothing is found."
    ]
    assert told(replace(applied(), found=2, judged_days=100), replace(applied(), found=1, judged_days=40)) == [
        (
            "Anomaly rules made 3 findings in 20 weeks, those of each rule on each target added up: "
            "0.15 a week of one rule on one target, false ones among them."
        )
    ]
    (line,) = told(replace(applied(), found=240_000, judged_days=14_000))
    assert "in 2k weeks" in line
    assert ": 120 a week" in line
    assert told(replace(applied(), judged_days=3)) == []


def test_series_that_a_policy_cuts_are_counted():
    reports = {
        "n1": Report(replace(applied(), cut_series=12, cut_targets=2), ()),
        "n2": Report(replace(applied(), cut_series=3, cut_targets=1), ()),
        "n3": Report(applied(), ()),
    }
    rollup = roll_up(facts(), presence(*reports), reports, read_up_to={})

    assert policy_status(facts(), rollup, generation=3, previous={}, now=AT)["targets"]["seriesCut"] == 15
    told = "15 series of 3 VMs are not exported: spec.collection.series bounds them."
    assert told in about(facts(), rollup)
    none = roll_up(facts(), presence("n3"), {"n3": reports["n3"]}, read_up_to={})
    assert "seriesCut" not in policy_status(facts(), none, generation=3, previous={}, now=AT)["targets"]
    assert not [line for line in about(facts(), none) if "not exported" in line]

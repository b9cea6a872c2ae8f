# An alert that goes along with its VM from node n1 to node n2 is one alert: told once, ended once, never lost.
from dataclasses import replace

import pytest

from tests.unit.operator.builders import AT, POLICY, TRACEPARENT, TRUSTING, VMI, Everywhere, firing, status, transition
from virtwatch_api.alert import Action, AlertState, Reason
from virtwatch_api.nodemonitor import MAX_HANDOVERS, Acknowledged, Adopted, Handover, Move, NodeMonitor
from virtwatch_api.nodemonitor_codec import decode_handover, encode_handover, encode_status, format_time
from virtwatch_api.policy import Severity
from virtwatch_kube.errors import Conflict, NotFound, Unavailable
from virtwatch_operator.announce.continuity import Continuity
from virtwatch_operator.events.bodies import note
from virtwatch_operator.fleet import SILENT_AFTER_S, Fleet
from virtwatch_operator.nodes.trust import Trust

CRITICAL = AlertState(Severity.CRITICAL, AT - 120, critical_since=AT - 120)
MOVE = Move("n2", CRITICAL, TRACEPARENT)
MOVED = replace(
    transition(7, Action.HANDED_OVER, reason=Reason.MIGRATED, previous=Severity.CRITICAL), since=AT - 120, move=MOVE
)
HANDOVER = Handover("e1", MOVED, MOVE)
THERE = replace(VMI, node="n2")
FIRED = replace(transition(3, subject=THERE), since=AT)


class ApiServer:
    """Holds the NodeMonitor n2; every write moves its resourceVersion, and `meddle` may write in between."""

    def __init__(self, meddle=0, exists=True):
        self.handovers, self.version, self.meddle, self.exists = [], 1, meddle, exists

    def get(self, path):
        if not self.exists:
            raise NotFound("no such NodeMonitor", status=404)
        read = {
            "metadata": {"name": "n2", "uid": "u2", "resourceVersion": str(self.version)},
            "spec": {"handovers": list(self.handovers)},
        }
        if self.meddle:
            self.meddle, self.version = self.meddle - 1, self.version + 1
        return read

    def apply(self, path, body, *, manager):
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict("the object has been modified", status=409)
        self.version += 1
        self.handovers = body["spec"]["handovers"]

    def held(self):
        return [decode_handover(item) for item in self.handovers]


class World:
    def __init__(self, *, elsewhere=(), silent=False, gone=False, trust=TRUSTING, **api):
        self.api = ApiServer(**api)
        self.now, self.down = AT, set()
        self.fleet = Fleet(
            trust=trust,
            down=lambda node: node in self.down,
            waiting=lambda node: None,
            reported=lambda policy: None,
            presence_changed=lambda: None,
            clock=lambda: self.now,
        )
        self.source = NodeMonitor("n1", "u1", status(MOVED), None, {})
        self.hear("n1", status(MOVED), handed=elsewhere)
        if api.get("exists", True):
            self.hear("n2", status())
        if silent:
            self.now += SILENT_AFTER_S + 10
        self.continuity = Continuity(
            client=self.api, fleet=self.fleet, trust=trust, gone=lambda node: node == "n2" and gone
        )

    def falls_silent(self, node):
        self.down.add(node)
        self.now += 10

    def reports_again(self, node):
        self.down.remove(node)
        self.now += 10

    def hear(self, node, said, *, acknowledged=None, handed=()):
        spec = {"handovers": [encode_handover(item) for item in handed]}
        if acknowledged:
            spec["acknowledged"] = {"epoch": said.epoch, "sequence": acknowledged}
        written = [{"subresource": "status", "time": format_time(AT)[:19] + "Z"}]
        self.fleet.on_change(
            None,
            {
                "metadata": {"name": node, "uid": f"u-{node}", "managedFields": written},
                "spec": spec,
                "status": encode_status(said),
            },
        )

    def tell(self, item, *, source=None):
        if source is not None:
            self.hear(source.node, source.status, handed=source.handovers)
        return self.continuity.to_announce(source or self.source, item)


def target(*handovers, adopted=(), acknowledged=3):
    told = Acknowledged("e1", acknowledged)
    return NodeMonitor("n2", "u2", replace(status(), adopted=adopted), told, {}, handovers)


def test_an_alert_is_handed_to_the_node_of_its_vm_and_nothing_is_told():
    world = World()
    assert world.tell(MOVED) is None
    assert world.api.held() == [HANDOVER]


def test_one_that_is_handed_over_again_after_a_crash_is_there_once():
    world = World()
    world.tell(MOVED)
    world.tell(MOVED)
    assert world.api.held() == [HANDOVER]


def test_those_who_write_at_the_same_time_do_not_undo_each_other():
    world = World(meddle=2)
    assert world.tell(MOVED) is None
    assert world.api.held() == [HANDOVER]


def test_what_cannot_be_written_is_tried_again_later():
    with pytest.raises(Conflict):
        World(meddle=99).tell(MOVED)


def test_a_node_without_an_agent_ends_the_alert():
    said = World(exists=False).tell(MOVED)
    assert (said.action, said.severity, said.previous) == (Action.RESOLVED, None, Severity.CRITICAL)
    assert said.reason is Reason.MIGRATED


def test_an_alert_that_was_only_pending_ends_there_without_a_word():
    pending = replace(MOVED, severity=None, previous=None)
    assert World(exists=False).tell(pending) is None


def test_a_node_whose_agent_is_gone_for_good_ends_the_alert():
    assert World(gone=True).tell(MOVED).action is Action.RESOLVED


def test_an_agent_that_is_not_ready_takes_the_alert_when_it_is():
    world = World()
    world.falls_silent("n2")
    assert world.tell(MOVED) is None
    assert world.api.held() == [HANDOVER]

    world.reports_again("n2")
    world.hear("n1", status(MOVED), acknowledged=7)
    taken = target(HANDOVER, adopted=(Adopted(HANDOVER.id, 3),))
    world.continuity.settle(taken)
    assert world.api.held() == []
    assert world.tell(RECOVERED, source=taken) == RECOVERED


def test_what_has_not_reported_for_long_takes_the_alert_too():
    world = World(silent=True)
    assert world.tell(MOVED) is None
    assert world.api.held() == [HANDOVER]


def test_what_an_agent_that_is_not_ready_finds_itself_is_not_said_again():
    world = World()
    world.falls_silent("n2")
    world.tell(MOVED)
    assert world.tell(FIRED, source=target(HANDOVER)) is None


def test_an_alert_waits_where_its_agent_is_never_ready():
    """It counts as one of that node's, of which nobody can tell whether it still fires, until its Node is deleted."""
    world = World()
    world.falls_silent("n2")
    world.tell(MOVED)
    world.hear("n1", status(), acknowledged=7)
    world.hear("n2", status(), handed=world.api.held())
    (waiting,) = world.fleet.reports(POLICY)["n2"].moving
    assert (waiting.alert, waiting.subject.node) == (MOVED.alert, "n2")
    assert world.fleet.presence.silent == {"n2"}

    world.continuity.settle(target(HANDOVER))
    assert world.api.held() == [HANDOVER]

    world.fleet.on_change({"metadata": {"name": "n2"}}, None)
    assert "n2" not in world.fleet.reports(POLICY)


@pytest.mark.parametrize("silent", [True, False])
def test_what_waits_for_a_silent_node_keeps_nothing_unsaid(silent):
    """The VM may have moved on without a word, and nobody else would say how its alert ends."""
    world = World()
    world.falls_silent("n2")
    if not silent:
        world.reports_again("n2")
    world.hear("n1", status(), acknowledged=7)
    world.hear("n2", status(), handed=[HANDOVER])
    third = NodeMonitor("n3", "u3", status(), None, {})
    for item in (FIRED, RECOVERED):
        there = replace(item, subject=replace(VMI, node="n3"))
        assert (world.tell(there, source=third) is not None) is silent


def test_nor_does_what_a_node_sends_to_a_silent_one():
    world = World()
    world.falls_silent("n2")
    world.tell(MOVED)
    later = replace(FIRED, sequence=8, subject=VMI)
    assert world.tell(later) == later


def test_a_node_with_no_room_left_takes_no_more_and_holds_up_nobody():
    world = World()
    other = replace(HANDOVER, transition=replace(MOVED, alert=replace(MOVED.alert, rule="other")))
    world.hear("n2", status(), handed=[replace(other, epoch=f"e{number}") for number in range(MAX_HANDOVERS)])
    assert world.tell(MOVED).action is Action.RESOLVED


def test_why_an_alert_ends_there_is_true_of_each_node_that_does_not_go_on_with_it():
    said = World(exists=False).tell(MOVED)
    assert (
        "over for VM shop/web-1 on node n1: the VM moved to a node with no agent that could continue the alert"
        in note(said)
    )


def test_what_a_node_finds_while_the_alert_is_on_its_way_to_it_is_not_said_again():
    world = World()  # n1 has said that the alert moves, and nobody has taken note yet
    assert world.tell(FIRED, source=target()) is None
    escalated = replace(FIRED, action=Action.ESCALATED, previous=Severity.WARNING)
    assert world.tell(escalated, source=target()) is None
    assert world.tell(FIRED) == FIRED  # n1 itself


class AskedMachines(Everywhere):
    """Stands in for a watch that began after the VM had moved: where it was before, the API server alone tells."""

    def __init__(self, *left):
        self.left, self.known = left, {"n2"}

    def is_on(self, node, *, namespace, name, uid):
        return node in self.known

    def confirm(self, node, *, namespace, name, uid):
        self.known |= {node} & set(self.left)
        return node in self.known


@pytest.mark.parametrize(("left", "told"), [("n1", False), ("n3", True)])
def test_a_new_leader_asks_whether_the_alert_may_be_on_its_way(left, told):
    trust = Trust(AskedMachines(left), exists=lambda key: True, judges=lambda policy, rule: False)
    assert (World(trust=trust).tell(FIRED, source=target()) == FIRED) is told


def test_what_is_worse_than_what_is_on_its_way_is_said():
    world = World()
    milder = replace(
        MOVED, severity=Severity.WARNING, move=replace(MOVE, state=replace(CRITICAL, severity=Severity.WARNING))
    )
    world.hear("n1", status(milder))
    assert world.tell(FIRED, source=target()) == FIRED


def test_another_vm_of_the_same_uuid_is_another_vm():
    namesake = replace(FIRED, subject=replace(THERE, namespace="dev", uid="of-dev"))
    assert World().tell(namesake, source=target(HANDOVER)) == namesake


RECOVERED = replace(
    transition(4, Action.RESOLVED, reason=Reason.RECOVERED, severity=None, previous=Severity.CRITICAL, subject=THERE),
    since=AT,
)


def test_what_ends_before_the_alert_that_is_on_its_way_has_come_is_not_the_alerts_end():
    world = World()
    assert world.tell(RECOVERED, source=target()) is None
    assert world.tell(RECOVERED, source=target(HANDOVER)) is None
    taken = target(HANDOVER, adopted=(Adopted(HANDOVER.id, 3),))
    assert world.tell(RECOVERED, source=taken) == RECOVERED


def test_an_end_that_does_not_say_how_bad_it_was_is_told_where_the_alert_fires_nowhere_else():
    over = replace(RECOVERED, previous=None)
    assert World().tell(over, source=target(acknowledged=3)) is None
    alone = World()
    alone.hear("n1", status(), acknowledged=7)
    assert alone.tell(over, source=target()) == over


def test_what_ends_while_a_milder_alert_is_on_its_way_is_milder_from_then_on():
    world = World()
    milder = replace(MOVED, severity=Severity.WARNING, previous=Severity.WARNING)
    world.hear("n1", status(milder))
    said = world.tell(RECOVERED, source=target())
    assert (said.action, said.previous, said.severity) == (Action.EASED, Severity.CRITICAL, Severity.WARNING)


def dead(world, *, subject=VMI):
    """Let n1's agent die while an alert fires there, which has been told."""
    world.hear("n1", status(firing=(firing(subject, since=AT - 120),)))


def test_what_a_node_finds_again_after_the_first_nodes_agent_died_is_not_said_again():
    world = World()
    dead(world)
    assert world.tell(FIRED, source=target()) is None
    assert world.tell(RECOVERED, source=target()) is None


def test_nor_is_the_end_that_the_first_node_finds_after_its_restart():
    world = World()
    world.hear("n2", status(firing=(firing(THERE, since=AT),)))
    over = replace(RECOVERED, subject=VMI, reason=Reason.DOMAIN_STOPPED, since=AT - 120)
    world.hear("n1", status(over))
    assert world.tell(over) is None


def test_a_node_that_fell_silent_keeps_nothing_unsaid():
    world = World()
    dead(world)
    world.now += SILENT_AFTER_S + 10
    assert world.tell(FIRED, source=target()) == FIRED


def test_of_two_nodes_that_find_an_alert_at_once_the_first_says_so():
    world = World()
    first = replace(FIRED, subject=VMI, since=AT - 1)
    world.hear("n1", status(first, firing=(firing(since=AT - 1),)))
    there = replace(target(), status=status(FIRED, firing=(firing(THERE, since=AT),)))
    assert world.tell(FIRED, source=there) is None
    assert world.tell(first) == first


def test_domains_of_two_hosts_with_one_uuid_are_two():
    world = World()
    plain = replace(VMI, uid=None)
    dead(world, subject=plain)
    found = replace(FIRED, subject=replace(plain, node="n2"))
    assert world.tell(found, source=target()) == found


def test_what_was_handed_over_and_taken_note_of_while_a_node_had_its_turn_is_seen():
    world = World()
    before = target()
    world.hear("n1", status(MOVED), acknowledged=7)
    world.hear("n2", status(), handed=[HANDOVER])
    assert world.continuity.to_announce(before, FIRED) is None


@pytest.mark.parametrize(("adopted", "told"), [(None, False), (3, False), (2, True)])
def test_what_a_node_found_before_it_took_the_alert_over_is_not_said_again(adopted, told):
    taken = () if adopted is None else (Adopted(HANDOVER.id, adopted),)
    world = World()
    world.hear("n1", status(MOVED), acknowledged=7)
    said = world.tell(FIRED, source=target(HANDOVER, adopted=taken))
    assert (said == FIRED) is told


def test_a_handover_is_kept_until_it_is_taken_and_its_source_will_not_send_it_again():
    world = World()
    world.tell(MOVED)
    taken = target(HANDOVER, adopted=(Adopted(HANDOVER.id, 0),))

    world.continuity.settle(target(HANDOVER))
    world.continuity.settle(taken)
    assert world.api.held() == [HANDOVER]

    world.hear("n1", status(MOVED), acknowledged=7)
    world.continuity.settle(taken)
    assert world.api.held() == []


def test_it_is_kept_until_what_its_node_found_before_it_came_has_been_told():
    world = World()
    world.tell(MOVED)
    world.hear("n1", status(MOVED), acknowledged=7)
    for told, held in ((2, [HANDOVER]), (3, [])):
        world.continuity.settle(target(HANDOVER, adopted=(Adopted(HANDOVER.id, 3),), acknowledged=told))
        assert world.api.held() == held


def test_a_source_that_is_gone_sends_nothing_again_and_one_that_cannot_be_read_may():
    world = World()
    world.tell(MOVED)
    taken = target(HANDOVER, adopted=(Adopted(HANDOVER.id, 0),))
    unreadable = {"metadata": {"name": "n1", "uid": "u1"}, "status": {"epoch": "e1"}}
    world.fleet.on_change(None, unreadable)
    world.continuity.settle(taken)
    assert world.api.held() == [HANDOVER]

    world.fleet.on_change(unreadable, None)
    world.continuity.settle(taken)
    assert world.api.held() == []


def document(node, *transitions):
    return {"metadata": {"name": node, "uid": f"u-{node}"}, "status": encode_status(status(*transitions))}


def test_what_cannot_be_read_of_the_target_is_tried_again(monkeypatch):
    world = World()
    monkeypatch.setattr(world.api, "get", lambda path: (_ for _ in ()).throw(Unavailable("down")))
    with pytest.raises(Unavailable):
        world.tell(MOVED)


def test_a_node_that_took_a_handover_is_looked_at_again_when_its_source_is_acknowledged():
    waiting = []
    known = Fleet(
        trust=TRUSTING,
        down=lambda node: False,
        waiting=waiting.append,
        reported=lambda policy: None,
        presence_changed=lambda: None,
    )
    source = document("n1", MOVED)
    known.on_change(None, source)
    taken = replace(status(), adopted=(Adopted(HANDOVER.id, 0),))
    known.on_change(
        None,
        {
            "metadata": {"name": "n2"},
            "spec": {"handovers": [encode_handover(HANDOVER)]},
            "status": encode_status(taken),
        },
    )
    waiting.clear()

    known.on_change(source, source)
    assert waiting == ["n1"]
    waiting.clear()

    known.on_change(source, {**source, "spec": {"acknowledged": {"epoch": "e1", "sequence": 7}}})
    assert waiting == ["n2"]

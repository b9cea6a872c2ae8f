# Whatever nodes find of one VM's alert, in whatever order the operator hears of it: what was told last is true.
from dataclasses import dataclass, field, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.soak import times
from tests.unit.operator.builders import AT, TRUSTING, VMI, firing, status, transition
from virtwatch_api.alert import Action, AlertState, Reason, carry_on, hand_over, resolve
from virtwatch_api.nodemonitor import Adopted, Move, Transition
from virtwatch_api.nodemonitor_codec import decode_handover, encode_status
from virtwatch_api.policy import Severity
from virtwatch_operator.announce.continuity import Continuity
from virtwatch_operator.fleet import Fleet

NODES = ("n1", "n2", "n3")
INACTIVE = AlertState()
WORSE = {None: Severity.WARNING, Severity.WARNING: Severity.CRITICAL}


@dataclass
class Node:
    """Do as an agent does with one alert, and as the API server with its NodeMonitor."""

    name: str
    state: AlertState = INACTIVE
    journal: list[Transition] = field(default_factory=list)
    acknowledged: int = 0
    handovers: list[dict] = field(default_factory=list)
    adopted: dict[str, int] = field(default_factory=dict)
    version: int = 0

    def note(self, action, *, reason=Reason.BREACH, severity=None, previous=None, since, at, move=None):
        made = transition(
            len(self.journal) + 1,
            action,
            reason=reason,
            severity=severity,
            previous=previous,
            subject=replace(VMI, node=self.name),
            at=at,
        )
        self.journal.append(replace(made, since=since, move=move))

    def worsen(self, now):
        before, worse = self.state, WORSE.get(self.state.severity)
        if worse is not None:
            self.state = AlertState(worse, before.since or now)
            action = Action.ESCALATED if before.firing else Action.FIRED
            self.note(action, severity=worse, previous=before.severity, since=before.since or now, at=now)

    def end(self, now):
        before = self.state
        self.state, change = resolve(before, now=now, reason=Reason.DOMAIN_STOPPED)
        if change is not None:
            self.note(change.action, reason=change.reason, previous=before.severity, since=change.since, at=now)

    def leave(self, to, now):
        if self.state.firing:
            change, move = hand_over(self.state, now=now), Move(to, self.state)
            severity = change.severity
            self.note(change.action, severity=severity, previous=severity, since=change.since, at=now, move=move)
            self.state = INACTIVE

    def take(self):
        for item in map(decode_handover, self.handovers):
            if item.id not in self.adopted:
                self.adopted[item.id] = len(self.journal)
                self.state = carry_on(self.state, item.move.state) if self.state.firing else item.move.state

    def document(self):
        shown = (
            ()
            if not self.state.firing
            else (firing(replace(VMI, node=self.name), self.state.severity, since=self.state.since),)
        )
        held = {f"{item['epoch']}.{item['sequence']}" for item in self.handovers}
        self.adopted = {name: taken for name, taken in self.adopted.items() if name in held}
        said = replace(
            status(*self.journal[self.acknowledged :], epoch=f"of-{self.name}", firing=shown),
            adopted=tuple(Adopted(name, taken) for name, taken in self.adopted.items()),
        )
        return {
            "metadata": {"name": self.name, "uid": self.name, "resourceVersion": str(self.version)},
            "spec": {
                "handovers": list(self.handovers),
                "acknowledged": {"epoch": said.epoch, "sequence": self.acknowledged},
            },
            "status": encode_status(said),
        }


class World:
    def __init__(self):
        self.nodes = {name: Node(name) for name in NODES}
        self.now, self.told, self.said = AT, dict.fromkeys(NODES, 0), None
        self.fleet = Fleet(
            trust=TRUSTING,
            down=lambda node: False,
            waiting=lambda _: None,
            reported=lambda _: None,
            presence_changed=lambda: None,
            clock=lambda: AT,
        )
        self.continuity = Continuity(client=self, fleet=self.fleet, trust=TRUSTING, gone=lambda _: False)
        for name in NODES:
            self.hear(name)

    def get(self, path):
        return self.nodes[path.rsplit("/", 1)[1]].document()

    def apply(self, path, body, *, manager):
        node = self.nodes[path.rsplit("/", 1)[1]]
        node.handovers, node.version = body["spec"]["handovers"], node.version + 1

    def hear(self, name):
        self.fleet.on_change(None, self.nodes[name].document())

    def tell(self, name):
        """Take what was heard of a node, as the announcer does."""
        monitor = self.fleet.monitor(name)
        for item in monitor.unacknowledged:
            if item.sequence > self.told[name]:
                said = self.continuity.to_announce(monitor, item)
                self.said = said.severity if said is not None else self.said
                self.told[name] = item.sequence
        self.nodes[name].acknowledged = self.told[name]
        self.continuity.settle(monitor)

    def do(self, deed, name, to):
        self.now += 1
        match deed:
            case "worsen":
                self.nodes[name].worsen(self.now)
            case "end":
                self.nodes[name].end(self.now)
            case "leave" if to != name:
                self.nodes[name].leave(to, self.now)
            case "take":
                self.nodes[name].take()
            case "hear":
                self.hear(name)
            case "tell":
                self.tell(name)

    def settle(self):
        for _ in range(6):
            for deed in ("take", "hear", "tell", "hear"):
                for name in NODES:
                    self.do(deed, name, "")


deeds = st.tuples(
    st.sampled_from(["worsen", "end", "leave", "take", "hear", "tell", "hear", "tell"]),
    st.sampled_from(NODES),
    st.sampled_from(NODES),
)


THERE_AND_BACK = [("worsen", "n2", ""), ("leave", "n2", "n1"), ("worsen", "n2", ""), ("end", "n2", "")]


@settings(max_examples=times(300, 30_000), deadline=None)
@given(st.lists(deeds, max_size=40))
@example(THERE_AND_BACK)
def test_what_was_told_last_of_an_alert_is_whether_it_fires(history):
    world = World()
    for deed in history:
        world.do(*deed)

    world.settle()

    assert all(not node.handovers and node.acknowledged == len(node.journal) for node in world.nodes.values())
    assert (world.said is not None) == any(node.state.firing for node in world.nodes.values())

"""Draw valid policies, ThresholdSets and reports of nodes, as wide as their types allow."""

from hypothesis import strategies as st

from virtwatch_api.alert import Action, AlertKey, AlertState, Reason
from virtwatch_api.catalogue.entries import Instrument
from virtwatch_api.catalogue.events import EVENTS
from virtwatch_api.catalogue.instruments import choices
from virtwatch_api.catalogue.signals import SIGNALS, TargetKind
from virtwatch_api.nodemonitor import (
    Adopted,
    AgentHealth,
    Applied,
    Condition,
    Counts,
    Evidence,
    FiringAlert,
    Handover,
    Move,
    NodeStatus,
    Transition,
    Unavailable,
)
from virtwatch_api.policy import (
    Absent,
    Aggregate,
    AllOf,
    AnomalyRule,
    AnyOf,
    Bound,
    Collection,
    Comparison,
    ConditionRule,
    CountBy,
    CountPattern,
    Enforcement,
    EventMatch,
    EventRule,
    Function,
    LabelSelector,
    Level,
    MissingData,
    Mode,
    PatternRule,
    PolicyKey,
    PolicyKind,
    Requirement,
    Rule,
    SequencePattern,
    Severity,
    Target,
    ThresholdRule,
    Timing,
)
from virtwatch_api.rule_kinds.anomaly import SENSITIVITIES
from virtwatch_api.targets import Subject, TargetRef
from virtwatch_api.thresholdset import ThresholdSet

INTERVAL = 15.0  # seconds between two samples of every collection here

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
severities = st.sampled_from(Severity)
vm_signals = st.sampled_from([item.name for item in SIGNALS if item.target is TargetKind.VIRTUAL_MACHINE])
vm_events = [item for item in EVENTS if TargetKind.VIRTUAL_MACHINE in item.targets]
event_names = st.sampled_from([item.name for item in vm_events])
numbers = st.integers(-(10**9), 10**9).map(lambda thousandths: thousandths / 1000)


def seconds(at_least=0.0, at_most=86_400.0):
    """Draw durations as policies can say them: whole milliseconds."""
    return st.integers(round(at_least * 1000), round(at_most * 1000)).map(lambda milliseconds: milliseconds / 1000)


timings = st.builds(Timing, seconds(), seconds(), st.sampled_from(MissingData))
aggregates = (
    st.just(Aggregate())
    | st.builds(
        Aggregate,
        st.sampled_from([item for item in Function if item not in (Function.LAST, Function.RATE)]),
        seconds(INTERVAL),
    )
    | st.builds(Aggregate, st.just(Function.RATE), seconds(2 * INTERVAL))
)


@st.composite
def thresholds_rules(draw):
    bound = draw(st.sampled_from(Bound))
    warning, critical = sorted((draw(numbers), draw(numbers)), reverse=bound is Bound.BELOW)
    levels = [Level(bound, value, _good_side(draw, bound, value)) for value in (warning, critical)]
    which = draw(st.sampled_from(["both", "warning", "critical"]))
    return ThresholdRule(
        signal=draw(vm_signals),
        aggregate=draw(aggregates),
        warning=levels[0] if which != "critical" else None,
        critical=levels[1] if which != "warning" else None,
        timing=draw(timings),
    )


def _good_side(draw, bound, value):
    distance = draw(st.just(0.0) | numbers.map(abs))
    # Rounded, because a policy says decimal numbers.
    return round(value - distance if bound is Bound.ABOVE else value + distance, 3)


@st.composite
def event_matches(draw):
    event = draw(st.sampled_from(vm_events))
    keys = draw(st.lists(st.sampled_from(event.attributes), unique=True)) if event.attributes else []
    values = {key: st.sampled_from(event.values(key)) if event.values(key) else names for key in keys}
    return EventMatch(event.name, tuple(sorted((key, draw(value)) for key, value in values.items())))


@st.composite
def event_rules(draw):
    event = draw(event_matches())
    resolve_on = draw(st.lists(event_names.filter(lambda name: name != event.type), max_size=8))
    return EventRule(draw(severities), event, tuple(resolve_on), draw(seconds(1.0)))


comparisons = st.builds(
    Comparison,
    vm_signals,
    aggregates,
    st.builds(lambda bound, value: Level(bound, value, value), st.sampled_from(Bound), numbers),
)


def _groups(parts):
    several = st.lists(parts, min_size=1, max_size=4).map(tuple)
    return st.builds(AllOf, several) | st.builds(AnyOf, several)


condition_rules = st.builds(ConditionRule, severities, _groups(comparisons | _groups(comparisons)), timings)
several_machines = st.sampled_from([by for by in CountBy if by is not CountBy.VIRTUAL_MACHINE])
count_patterns = st.builds(CountPattern, event_matches(), st.integers(2, 1000), seconds(1.0)) | st.builds(
    CountPattern, event_matches(), st.integers(2, 1000), seconds(1.0), several_machines, st.booleans()
)
steps = event_matches() | st.lists(event_names, min_size=1, max_size=8).map(tuple).map(Absent)
sequence_patterns = st.builds(
    lambda first, rest, within: SequencePattern((first, *rest), within),
    event_matches(),
    st.lists(steps, min_size=1, max_size=7),
    seconds(1.0),
)
pattern_rules = st.builds(PatternRule, severities, count_patterns | sequence_patterns)
anomaly_rules = st.builds(
    AnomalyRule,
    severities,
    st.lists(vm_signals, min_size=1, max_size=8).map(tuple),
    st.sampled_from(SENSITIVITIES),
)
bodies = thresholds_rules() | event_rules() | condition_rules | pattern_rules | anomaly_rules
implemented_bodies = thresholds_rules() | event_rules()


routing_labels = st.dictionaries(st.sampled_from(["team", "Tier_2", "_x"]), names).map(
    lambda d: tuple(sorted(d.items()))
)
summaries = st.just("") | st.just("{target} waits: {value} of {bound}")
urls = st.just("") | st.just("https://wiki.example.com/r?a=b#c")


def rules(of=bodies):
    """Draw rules of distinct names."""
    several = st.lists(
        st.builds(Rule, names, of, routing_labels, summaries, urls),
        min_size=1,
        max_size=4,
        unique_by=lambda rule: rule.name,
    )
    return several.map(tuple)


label_values = st.just("") | names
requirements = st.builds(
    Requirement, names, st.sampled_from(["In", "NotIn"]), st.lists(label_values, min_size=1, max_size=3).map(tuple)
) | st.builds(Requirement, names, st.sampled_from(["Exists", "DoesNotExist"]))
selectors = st.lists(requirements, max_size=3).map(tuple).map(LabelSelector)
targets = st.builds(
    Target,
    selector=st.none() | selectors,
    names=st.lists(st.sampled_from(["web-*", "db-?", "[ab]-1", "x"]), max_size=3).map(tuple),
    node_selector=st.none() | selectors,
)
# Not those of which nothing is collected yet.
_summaries = st.sampled_from([item.name for item in SIGNALS if Instrument.SUMMARY in choices(item)])
instruments = st.dictionaries(_summaries, st.just(Instrument.SUMMARY), max_size=3).map(
    lambda d: tuple(sorted(d.items()))
)
collections = st.builds(
    Collection,
    st.sampled_from(Mode),
    st.just(INTERVAL),
    instruments=instruments,
    series=st.just(0) | st.integers(1, 10_000),
) | st.builds(
    Collection, st.just(Mode.SAMPLED), st.just(INTERVAL), st.integers(1, 100).map(lambda percent: percent / 100)
)


@st.composite
def policy_keys(draw, kinds=tuple(PolicyKind)):
    kind = draw(st.sampled_from(kinds))
    return PolicyKey(kind, draw(names), draw(names) if kind is PolicyKind.MONITOR_POLICY else None)


@st.composite
def threshold_sets(draw, of=bodies):
    key = draw(policy_keys())
    cluster = key.kind is PolicyKind.CLUSTER_MONITOR_POLICY
    target = draw(targets)
    return ThresholdSet(
        policy=key,
        policy_uid=draw(names),
        generation=draw(st.integers(1, 99)),
        created=float(draw(st.integers(1, 2**31))),
        hash=draw(names),
        enforcement=draw(st.sampled_from(Enforcement)),
        overridable=draw(st.booleans()) if cluster else True,
        target=target,
        namespaces=draw(st.none() | st.lists(names, max_size=3).map(tuple)) if cluster else (key.namespace,),
        collection=draw(collections),
        rules=draw(rules(of)),
        traceparent=draw(st.just("") | st.just("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03")),
    )


# Whole microseconds, which is what a report carries; until the year 2100.
times = st.integers(1, 4_102_444_800 * 10**6).map(lambda microseconds: microseconds / 10**6)
sentences = st.text(max_size=60)
counts = st.builds(Counts, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
evidence = st.builds(
    Evidence,
    names,
    st.none() | st.floats(allow_nan=False),
    st.none() | st.floats(allow_nan=False),
    sentences,
    st.none() | st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
    st.none() | st.integers(0, 10**6),
    st.just("") | names,
    st.just("") | st.just("Count"),
)
target_refs = st.builds(TargetRef, st.sampled_from(TargetKind), names)
subjects = st.builds(Subject, names, target_refs, names, st.none() | names, st.none() | names, st.none() | names)
traceparents = st.just("") | st.just("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03")


@st.composite
def transitions(draw):
    subject = draw(subjects)
    severity, since = draw(st.none() | severities), draw(times)
    move = draw(st.none() | moves(severity=severity, since=since))
    return Transition(
        sequence=draw(st.integers(1, 2**53)),
        alert=AlertKey(draw(policy_keys()), draw(names), subject.target, draw(st.just("") | names)),
        action=draw(st.sampled_from(Action)),
        reason=draw(st.sampled_from(Reason)),
        severity=severity,
        previous=draw(st.none() | severities),
        at=draw(times),
        since=since,
        subject=subject,
        evidence=draw(evidence),
        traceparent=draw(traceparents),
        move=move,
    )


@st.composite
def moves(draw, *, severity, since):
    timers = [draw(st.none() | times) for _ in range(4)]
    state = AlertState(severity, since if severity else None, *timers)
    return Move(draw(names), state, draw(traceparents), draw(st.none() | times))


@st.composite
def handovers(draw):
    transition = draw(transitions().filter(lambda item: item.move is not None))
    return Handover(draw(names), transition, transition.move)


@st.composite
def firing_alerts(draw):
    subject = draw(subjects)
    key = AlertKey(draw(policy_keys()), draw(names), subject.target, draw(st.just("") | names))
    return FiringAlert(key, draw(severities), draw(times), subject, draw(evidence), draw(traceparents))


statuses = st.builds(
    NodeStatus,
    epoch=names,
    sequence=st.integers(0, 2**53),
    transitions=st.lists(transitions(), max_size=2).map(tuple),
    waiting=st.integers(0, 99),
    firing=st.lists(firing_alerts(), max_size=2).map(tuple),
    counts=counts,
    applied=st.lists(
        st.builds(
            Applied,
            policy_keys(),
            names,
            st.integers(0, 99),
            counts,
            st.integers(0, 99),
            sentences,
            st.lists(st.builds(Unavailable, names, names, st.integers(0, 99), sentences), max_size=2).map(tuple),
            st.just("") | st.just("Hybrid"),
            seconds(),
            st.integers(0, 99),
        ),
        max_size=2,
    ).map(tuple),
    virtual_machines=st.integers(0, 999),
    agent=st.builds(
        AgentHealth,
        version=names,
        started=times,
        cpu=st.integers(0, 64_000).map(lambda milliseconds: milliseconds / 1000),
        memory=st.integers(0, 2**40).map(float),
        samples=st.integers(0, 2**53),
        errors=st.integers(0, 2**53),
        scan=st.integers(0, 64_000).map(lambda milliseconds: milliseconds / 1000),
        slowdown=st.integers(100, 900).map(lambda percent: percent / 100),
    ),
    conditions=st.lists(
        st.builds(
            Condition,
            names,
            st.none() | st.booleans(),
            names,
            sentences,
            st.integers(1, 4_102_444_800).map(float),
            st.integers(0, 99),
        ),
        max_size=2,
    ).map(tuple),
    adopted=st.lists(st.builds(Adopted, names, st.integers(0, 2**53)), max_size=2).map(tuple),
)

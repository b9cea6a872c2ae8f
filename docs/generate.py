"""Write docs/reference and the policies' CRDs: `python -m docs.generate`; with --check, compare only."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from docs.crd_page import crd_section
from docs.crds import admission_warning, policy_crds
from virtwatch_api.catalogue.entries import WATCHED
from virtwatch_api.catalogue.events import EVENTS, Attribute
from virtwatch_api.catalogue.readings import READINGS, Source
from virtwatch_api.catalogue.signals import SIGNALS, Signal, TargetKind
from virtwatch_api.rule_kinds.registry import RULE_KINDS
from virtwatch_api.summary import NAMES

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = Path("docs/reference")
WARNING = Path("manifests/base/unsupported-validatingadmissionpolicy.yaml")
_WRITTEN_BY = "<!-- Written by `make docs`; edit api/virtwatch_api/catalogue, or crds/, instead. -->"
_CRDS = (
    "monitorpolicies",
    "clustermonitorpolicies",
    "notificationchannels",
    "nodemonitors",
    "thresholdsets",
    "explanations",
)
_SHARED = {"spec.rules": "as in a MonitorPolicy"}
_SIGNALS = """\
What a rule judges. A signal's unit is fixed; ratios are shares of 1. A signal of a device (vCPU, disk, NIC) is judged,
and alerts, for each device. A *planned* signal is refused with `reason: NotImplemented`.
What the sources cost:"""
_METRICS = """\
What OTLP carries for each VM and for the node: readings, raw, and the signals that say more than one reading does; of
the sources `balloon` and `block`, which cost more, what a rule in force for the VM needs. The Resource is the VM:
`libvirt.domain.uuid`, `libvirt.domain.name`; on KubeVirt `k8s.namespace.name`, `kubevirt.vm.name`, `kubevirt.vmi.uid`,
`k8s.pod.uid`, `k8s.node.name`; or the node: `k8s.node.name`, `virtwatch.target.kind=Node`. The series of a VM or device
that is gone, and of a signal that has no value, end at once (OTLP's `NO_RECORDED_VALUE`).

A gauge of a signal is its value over the export interval. A *summary* is an exponential histogram, cumulative, of every
value that was derived: the peak between two exports survives. For a backend that takes none, set
`OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=explicit_bucket_histogram`: summaries are gauges then.
Prometheus 3 keeps and shows it as a native histogram:
`histogram_quantile(1, increase(libvirt_domain_cpu_utilization[5m]))` is the peak of five minutes,
`histogram_avg(…)` of the same their mean. [A page for Prometheus](../install.md#a-page-in-prometheus) shows them for
each VM.

A policy chooses another instrument for the targets that it is in force for, by `spec.collection.instruments`: for
example `vm.network.receive.rate: Gauge` exports the rate itself beside its counter (`libvirt.domain.network.rate`), and
`vm.memory.rss: Summary` every value (`libvirt.domain.memory.rss.distribution`). Signals that share an OTel name share
the choice; of several policies, the one that shows most is used. It adds no questions: of a source that no rule in
force asks, nothing is exported.

`spec.collection.series` bounds how many series each target of a policy exports; of several policies, and
`VIRTWATCH_EXPORT_SERIES` of the agents, the lowest counts. A policy that only observes does not count, nor does a
MonitorPolicy's on targets of a ClusterMonitorPolicy with `overridable: false`. Readings come first, then what is
derived, then summaries; a series that is exported stays. What is left out the policy's `status.targets.seriesCut`
counts, and `virtwatch.agent.export.series.cut`."""
_EVENTS = """\
What an event rule fires on, what resolves it (`resolveOn`), and what OTLP carries as log records with `event_name`.
`where` matches attributes by equality; where values are listed, an attribute has no others. What a live migration does
to a VM on both of its nodes (reason `migrated`, `migration` or `postcopy`) is no stop, pause or start: it matches only
a rule whose `where` names `reason`, and ends only such a rule's alert. After a gap the agent compares, and emits what
it missed with `virtwatch.event.inferred=true`. A *planned* event is refused with `reason: NotImplemented`."""
_RULES = f"""\
A rule has a `name`, which is its identity, and exactly one of the parts below. [Kinds](crds.md) lists every field.
Every rule also takes `labels` (for routing notifications), `runbookURL`, and `summary`, a sentence in which names in
braces are filled in: {", ".join(f"`{name}`" for name in NAMES)}. A *planned* kind is refused with
`reason: NotImplemented`, and `kubectl apply` warns of it.

**Bounds** are in the unit of their signal, written as people write them: a number (`5`, `"0.05"`), a Kubernetes
quantity (`20Mi`, `131072Ki`, `129e6`), a share in percent (`90%`), a time for a signal in seconds (`20ms`, `1.5s`).
There, `20m` is refused: it could be minutes or thousandths. A bound that its signal cannot reach is refused with a
guess at what was meant. A number that is not whole is quoted. A VM's annotation `virtwatch.io/rule.NAME` takes the
same: `warning=80%,critical=95%`, or `off`.

**Windows** may be shorter than `collection.interval`: the rule is then sampled as often as its window needs."""
_KINDS = """\
Group `virtwatch.io`, version `v1alpha1`. `kubectl explain mpol.spec --recursive` says the same on a cluster."""


def pages() -> Mapping[Path, str]:
    """Return every generated page by its path in the repository."""
    crds = {Path("crds") / name: text for name, text in policy_crds(ROOT / "crds" / "base").items()}
    return {
        **crds,
        WARNING: admission_warning(),
        REFERENCE / "signals.md": _page("Signals", _signals()),
        REFERENCE / "events.md": _page("Events", _events()),
        REFERENCE / "rules.md": _page("Rules", _rules()),
        REFERENCE / "crds.md": _page("Kinds", _crds(crds)),
    }


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with --check say which are out of date."""
    check = "--check" in arguments
    old = [path for path, text in pages().items() if not _same(ROOT / path, text)]
    for path in old:
        if check:
            print(f"{path} is out of date: run make docs and commit it", file=sys.stderr)
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(pages()[path])
            print(f"wrote {path}")
    return 1 if check and old else 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def _page(title: str, body: Iterable[str]) -> str:
    return "\n".join((_WRITTEN_BY, "", f"# {title}", "", *body)).rstrip() + "\n"


def _signals() -> Iterable[str]:
    yield _SIGNALS
    yield ""
    yield from (f"* `{source}`: {source.cost}" for source in Source)
    yield ""
    for target in WATCHED:
        yield f"## {target}"
        yield ""
        found = [signal for signal in SIGNALS if signal.target is target]
        yield from _table(
            ("signal", "unit", "range", "per device", "source", "description", "a bad value means", "what to do"),
            [
                (
                    f"`{s.name}`",
                    f"`{s.unit}`",
                    "0 to 1" if s.range.share else f"from {s.range.least:g}",
                    "yes" if s.per_device else "",
                    _source(s),
                    f"{s.description} {s.limits}".strip(),
                    s.bad_value,
                    s.remedy,
                )
                for s in found
            ],
        )
    yield "## Exported metrics"
    yield ""
    yield _METRICS
    yield ""
    metrics = [
        (
            f"`{r.metric}`",
            r.instrument.value,
            f"`{r.unit}`",
            ", ".join(
                (*(f"`{key}={value}`" for key, value in r.attributes), *((f"`{r.device}`",) if r.device else ()))
            ),
            r.source.value,
            r.description,
        )
        for r in READINGS
    ]
    metrics += [
        (
            f"`{s.metric}`",
            s.instrument.value,
            f"`{s.unit}`",
            ", ".join(
                (*(f"`{key}={value}`" for key, value in s.attributes), *((f"`{s.device}`",) if s.device else ()))
            ),
            _source(s),
            f"The signal `{s.name}`.",
        )
        for s in SIGNALS
        if s.derived
    ]
    yield from _table(("metric", "instrument", "unit", "attributes", "source", "description"), metrics)


def _source(signal: Signal) -> str:
    return ", ".join(sorted(source.value for source in signal.sources)) or "planned"


def _events() -> Iterable[str]:
    yield _EVENTS
    yield ""
    rows = [
        (
            f"`{event.name}`",
            f"`{event.otel_name}`",
            event.severity.value,
            "; ".join(_attribute(item) for item in event.where),
            "" if event.implemented else "planned",
            event.description,
        )
        for event in EVENTS
    ]
    yield from _table(("event", "OTel event name", "severity", "attributes", "", "description"), rows)


def _attribute(item: Attribute) -> str:
    return f"`{item.name}`" + (f" ({', '.join(f'`{value}`' for value in item.values)})" if item.values else "")


def _rules() -> Iterable[str]:
    yield _RULES
    yield ""
    for kind in RULE_KINDS:
        schema = kind.schema([TargetKind.VIRTUAL_MACHINE])
        yield f"## {kind.name}{'' if kind.implemented else ' (planned)'}"
        yield ""
        yield schema["description"]
        yield ""
        yield "```yaml"
        yield from kind.example.rstrip().split("\n")
        yield "```"
        yield ""


def _crds(assembled: Mapping[Path, str]) -> Iterable[str]:
    yield _KINDS
    yield ""
    for plural in _CRDS:
        path = Path("crds") / f"{plural}.yaml"
        crd = yaml.load(assembled.get(path) or (ROOT / path).read_text(), Loader=yaml.CSafeLoader)
        yield from crd_section(crd, elsewhere={} if plural == _CRDS[0] else _SHARED)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

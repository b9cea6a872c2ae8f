"""The story: a policy is applied, two VMs get into trouble, alerts fire, the VMs recover, alerts resolve."""

from collections.abc import Callable

from lab.demo import drawing
from lab.demo.drawing import Span
from lab.demo.policy import Alert, Policy
from lab.demo.stage import BROKEN, BUSY, DOMAINS, NAMESPACE, PLAIN, Moves, Stage
from lab.demo.teller import Teller
from lab.process import wait_for
from tools.checkout import CHECKOUT
from tools.errors import ToolError
from tools.progress import step

EXAMPLE = CHECKOUT / "manifests" / "examples" / "web-tier.yaml"
POLICY, CPU_RULE, DISK_RULE = "web-tier", "cpu-busy", "paused-on-io-error"
IN_SHOP = f"--namespace={NAMESPACE}"
READY_DEADLINE_S = 60.0
ALERT_DEADLINE_S = 90.0
TRACE_DEADLINE_S = 30.0
POLL_S = 0.5
# As the backend names them.
CPU_TIME, IO_ERROR = "libvirt_domain_vcpu_time_seconds_total", "libvirt.domain.io_error"
# What one trace must hold: who did it, and the last word of the span's name.
STAGES = (
    ("virtwatch-agent", "sample"),
    ("virtwatch-agent", "judge"),
    ("virtwatch-agent", "journal"),
    ("virtwatch-operator", "announce"),
)


class Story:
    """Tell it on a stage that is set; what does not come true in time is a ToolError."""

    def __init__(self, stage: Stage, teller: Teller) -> None:
        self._stage = stage
        self._teller = teller

    def tell(self) -> float:
        """Tell all of it; return after how many seconds the last alert had resolved."""
        self._introduce()
        self._apply_policy()
        alert = self._trouble()
        self._show_alerts()
        self._show_trace(alert)
        if isinstance(self._stage, Moves):
            self._move(self._stage)
        return self._relief()

    def _introduce(self) -> None:
        self._teller.chapter("Three VMs, and virtwatch beside them")
        self._wait("the agents to watch all three VMs", self._all_watched, READY_DEADLINE_S)
        self._teller.say(*self._stage.setting, "")
        self._kubectl("get", self._stage.kinds, IN_SHOP)
        for asked in self._stage.watchers:
            self._kubectl("get", *asked)

    def _apply_policy(self) -> None:
        self._teller.chapter("A policy says what is too much")
        self._teller.say(f"$ cat {EXAMPLE.relative_to(CHECKOUT)}")
        self._teller.block(EXAMPLE.read_text().splitlines())
        self._kubectl("apply", "-f", str(EXAMPLE.relative_to(CHECKOUT)))
        for condition in ("Accepted", "Distributed"):
            self._wait(f"the policy to be {condition}", lambda: self._condition(condition), READY_DEADLINE_S)  # noqa: B023
        self._kubectl("get", "monitorpolicies", IN_SHOP)

    def _trouble(self) -> Alert:
        self._teller.chapter(f"{BUSY} burns CPU, and the file system under the disk of {BROKEN} runs full")
        self._stage.load()
        with step(f"Waiting for QEMU to pause {BROKEN}"):
            self._stage.fill()
        self._teller.say(
            f"QEMU paused {BROKEN} on a real I/O error (ENOSPC); {BUSY} computes.", *self._stage.while_full
        )
        self._wait(f"the alert {DISK_RULE} of {BROKEN}", lambda: self._fires(DISK_RULE, BROKEN), ALERT_DEADLINE_S)
        self._wait(f"the alert {CPU_RULE} of {BUSY}", lambda: self._fires(CPU_RULE, BUSY), ALERT_DEADLINE_S)
        return self._busy_alert()

    def _show_alerts(self) -> None:
        self._teller.chapter("What a person sees of it")
        self._wait_event("AlertCritical", BROKEN)
        self._kubectl("describe", "monitorpolicy", POLICY, IN_SHOP)
        for name in (BUSY, BROKEN, POLICY):
            self._kubectl("get", "events", IN_SHOP, f"--field-selector=involvedObject.name={name}")
        self._kubectl("get", "nodemonitors", "-o", "wide")

    def _show_trace(self, alert: Alert) -> None:
        self._teller.chapter("In the backend: one trace, from the sample to the announcement")
        self._wait(
            f"the trace {alert.trace_id} to hold {', '.join(stage for _, stage in STAGES)} (see Jaeger)",
            lambda: not self._missing(alert),
            TRACE_DEADLINE_S,
        )
        self._teller.say(f"In Jaeger: {self._stage.backend.trace_url(alert.trace_id)}", "")
        self._teller.block(drawing.draw(self._spans(alert)))
        backend = self._stage.backend
        self._wait("metrics of all three VMs", self._all_measured, TRACE_DEADLINE_S)
        self._wait("the I/O error among the events", lambda: IO_ERROR in backend.log.read_text(), TRACE_DEADLINE_S)
        self._teller.say(
            f"The backend has metrics of {BUSY}, {BROKEN} and {PLAIN} too ({backend.metrics_url}), and their events."
        )

    def _move(self, stage: Moves) -> None:
        before = self._busy_alert()
        self._teller.chapter(f"KubeVirt moves {BUSY} to another node while it runs, and its alert goes along")
        with step(f"Waiting for KubeVirt to move {BUSY} from {before.node}", why="a live migration"):
            target = stage.move()
        self._wait(f"the alert to be on {target}", lambda: self._busy_alert().node == target, ALERT_DEADLINE_S)
        after = self._busy_alert()
        # Its trace may be another: that of its newest turn, and a busy machine can make it worse meanwhile.
        if after.since != before.since:
            raise ToolError(f"The alert {CPU_RULE} began anew on {target}: since {after.since}, not {before.since}.")
        self._none_has_ended()
        self._kubectl("get", self._stage.kinds, IN_SHOP)
        self._kubectl("get", "events", IN_SHOP, f"--field-selector=involvedObject.name={BUSY}")
        self._teller.say(
            f"The alert is on {target} now and fires since {after.since}, as on {before.node}: it is the same one, and",
            "no Event said that it had resolved.",
        )

    def _relief(self) -> float:
        self._teller.chapter(f"{BUSY} is calmed, room is made for {BROKEN} and it is resumed")
        self._none_has_ended()
        self._stage.calm()
        self._stage.mend()
        for name in (BROKEN, BUSY):
            self._wait_event("AlertResolved", name)
        self._wait("the policy to be Quiet", lambda: self._condition("Quiet"), ALERT_DEADLINE_S)
        resolved_after = self._teller.elapsed
        self._kubectl("describe", "monitorpolicy", POLICY, IN_SHOP, since="Status:")
        return resolved_after

    def _all_measured(self) -> bool:
        measured = [line for line in self._stage.backend.metrics().splitlines() if line.startswith(CPU_TIME)]
        return all(any(f'libvirt_domain_name="{name}"' in line for line in measured) for name in DOMAINS)

    def _all_watched(self) -> bool:
        watched = "jsonpath={.items[*].status.virtualMachines}"
        said = self._stage.control_plane.kubectl("get", "nodemonitors", "-o", watched, check=False)
        return sum(map(int, said.stdout.split())) == len(DOMAINS)

    def _busy_alert(self) -> Alert:
        alert = self._policy().alert(CPU_RULE, f"{NAMESPACE}/{BUSY}")
        if alert is None:
            raise ToolError(f"The alert {CPU_RULE} of {BUSY} is gone while it computes: {self._policy()}.")
        return alert

    def _fires(self, rule: str, name: str) -> bool:
        return self._policy().alert(rule, f"{NAMESPACE}/{name}") is not None

    def _condition(self, name: str) -> bool:
        return self._policy().conditions.get(name) == "True"

    def _wait_event(self, reason: str, name: str) -> None:
        self._wait(f"the Event {reason} on {name}", lambda: self._told(reason, name), ALERT_DEADLINE_S)

    def _none_has_ended(self) -> None:
        for name in (BROKEN, BUSY):
            if self._told("AlertResolved", name):
                raise ToolError(f"An Event says that an alert of {name} has resolved, and its cause is still there.")

    def _told(self, reason: str, name: str) -> bool:
        selector = f"--field-selector=reason={reason},involvedObject.name={name}"
        return bool(self._stage.control_plane.kubectl("get", "events", IN_SHOP, selector, "-o", "name").stdout)

    def _missing(self, alert: Alert) -> list[str]:
        found = {(span.service, span.name.rpartition(".")[2]) for span in self._spans(alert)}
        return [name for service, name in STAGES if (service, name) not in found]

    def _spans(self, alert: Alert) -> list[Span]:
        return drawing.spans(self._stage.backend.trace(alert.trace_id))

    def _policy(self) -> Policy:
        return Policy.read(self._stage.control_plane, POLICY, namespace=NAMESPACE)

    def _policy_if_any(self) -> str:
        try:
            return str(self._policy())
        except ToolError as error:
            return str(error)

    def _kubectl(self, *args: str, since: str = "") -> None:
        self._teller.kubectl(self._stage.control_plane, *args, since=since)

    def _wait(self, what: str, condition: Callable[[], bool], deadline: float) -> None:
        with step(f"Waiting for {what}"):
            self._stage.check()
            try:
                wait_for(condition, what=what, deadline=deadline, poll=POLL_S)
            except ToolError as error:
                raise ToolError(f"{error}. What the policy says: {self._policy_if_any()}") from error

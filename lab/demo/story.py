"""The story: a policy is applied, two VMs get into trouble, alerts fire, the VMs recover, alerts resolve."""

import json
from collections.abc import Callable
from typing import Any

from lab.demo.drawing import draw, spans
from lab.demo.full import FullStage
from lab.demo.light import LightStage
from lab.demo.stage import BROKEN, BUSY, NAMESPACE, PLAIN
from lab.demo.teller import Teller
from lab.process import wait_for
from tools.checkout import CHECKOUT
from tools.errors import ToolError
from tools.progress import step

EXAMPLE = "manifests/examples/web-tier.yaml"
POLICY, CPU_RULE, DISK_RULE = "web-tier", "cpu-busy", "paused-on-io-error"
RULES = {BROKEN: DISK_RULE, BUSY: CPU_RULE}
IN_SHOP = f"--namespace={NAMESPACE}"
DEADLINE_S = 90.0
POLL_S = 0.2
# As libvirt calls them, and so the backend.
DOMAINS = (f"{NAMESPACE}_{BUSY}", f"{NAMESPACE}_{BROKEN}", PLAIN)
CPU_TIME, IO_ERROR = "libvirt_domain_vcpu_time_seconds_total", "libvirt.domain.io_error"
# What one trace must hold: who did it, and the last word of the span's name.
STAGES = {("virtwatch-agent", stage) for stage in ("sample", "judge", "journal")} | {("virtwatch-operator", "announce")}
Document = dict[str, Any]


class Story:
    """Tell it on a stage that is set; what does not come true in time is a ToolError."""

    def __init__(self, stage: LightStage | FullStage, teller: Teller) -> None:
        self._stage = stage
        self._teller = teller

    def tell(self) -> float:
        """Tell all of it; return after how many seconds the last alert had resolved."""
        self._introduce()
        self._apply_policy()
        self._trouble()
        self._show_alerts()
        self._show_trace(self._busy_alert()["traceID"])
        if isinstance(self._stage, FullStage):
            self._move(self._stage)
        return self._relief()

    def _introduce(self) -> None:
        self._teller.chapter("Three VMs, and virtwatch beside them")
        self._wait("the agents to watch all three VMs", self._all_watched)
        self._teller.say(*self._stage.setting, "")
        self._kubectl("get", self._stage.kinds, IN_SHOP)
        for asked in self._stage.watchers:
            self._kubectl("get", *asked)

    def _apply_policy(self) -> None:
        self._teller.chapter("A policy says what is too much")
        self._teller.block([f"$ cat {EXAMPLE}", *(CHECKOUT / EXAMPLE).read_text().splitlines()])
        self._kubectl("apply", "-f", EXAMPLE)
        self._wait("the policy to be in force", lambda: self._condition("Accepted") and self._condition("Distributed"))
        self._kubectl("get", "monitorpolicies", IN_SHOP)

    def _trouble(self) -> None:
        self._teller.chapter(f"{BUSY} burns CPU, and the file system under the disk of {BROKEN} runs full")
        self._stage.load()
        with step(f"Waiting for QEMU to pause {BROKEN}"):
            self._stage.fill()
        self._teller.say(f"QEMU paused {BROKEN} on a real I/O error (ENOSPC); {BUSY} computes.")
        for name, rule in RULES.items():
            self._wait(f"the alert {rule} of {name}", lambda: bool(self._alert(rule, name)))  # noqa: B023

    def _show_alerts(self) -> None:
        self._teller.chapter("What a person sees of it")
        self._wait(f"the Event AlertCritical on {BROKEN}", lambda: self._told("AlertCritical", BROKEN))
        self._kubectl("describe", "monitorpolicy", POLICY, IN_SHOP)
        for name in (BUSY, BROKEN, POLICY):
            self._kubectl("get", "events", IN_SHOP, f"--field-selector=involvedObject.name={name}")
        self._kubectl("get", "nodemonitors", "-o", "wide")

    def _show_trace(self, trace: str) -> None:
        self._teller.chapter("In the backend: one trace, from the sample to the announcement")
        backend = self._stage.backend
        self._wait(f"the trace {trace} to be whole (see Jaeger)", lambda: self._stages(trace) >= STAGES)
        self._teller.say(f"In Jaeger: {backend.trace_url(trace)}", "")
        self._teller.block(draw(spans(backend.trace(trace))))
        self._wait("metrics of all three VMs", self._all_measured)
        self._wait("the I/O error among the events", lambda: IO_ERROR in backend.log.read_text())
        self._teller.say(
            f"The backend has metrics of {BUSY}, {BROKEN} and {PLAIN} too ({backend.metrics_url}), and their events."
        )

    def _move(self, stage: FullStage) -> None:
        before = self._busy_alert()
        self._teller.chapter(f"KubeVirt moves {BUSY} to another node while it runs, and its alert goes along")
        with step(f"Waiting for KubeVirt to move {BUSY} from {before['node']}", why="a live migration"):
            target = stage.move()
        self._wait(f"the alert to be on {target}", lambda: self._busy_alert()["node"] == target)
        after = self._busy_alert()
        # Its trace may be another: that of its newest turn, and a busy machine can make it worse meanwhile.
        if after["since"] != before["since"]:
            raise ToolError(f"{CPU_RULE} began again on {target}: since {after['since']}, not {before['since']}.")
        self._none_has_ended()
        self._kubectl("get", self._stage.kinds, IN_SHOP)
        self._kubectl("get", "events", IN_SHOP, f"--field-selector=involvedObject.name={BUSY}")
        self._teller.say(
            f"The alert is on {target} now and fires since {after['since']}, as on {before['node']}:",
            "it is the same one, and no Event said that it had resolved.",
        )

    def _relief(self) -> float:
        self._teller.chapter(f"{BUSY} is calmed, room is made for {BROKEN} and it is resumed")
        self._none_has_ended()
        self._stage.calm()
        self._stage.mend()
        for name in RULES:
            self._wait(f"the Event AlertResolved on {name}", lambda: self._told("AlertResolved", name))  # noqa: B023
        self._wait("the policy to be Quiet", lambda: self._condition("Quiet"))
        resolved_after = self._teller.elapsed
        self._kubectl("describe", "monitorpolicy", POLICY, IN_SHOP, since="Status:")
        return resolved_after

    def _all_watched(self) -> bool:
        watched = "jsonpath={.items[*].status.virtualMachines}"
        said = self._stage.control_plane.kubectl("get", "nodemonitors", "-o", watched, check=False)
        return sum(map(int, said.stdout.split())) == len(DOMAINS)

    def _all_measured(self) -> bool:
        measured = [line for line in self._stage.backend.metrics().splitlines() if line.startswith(CPU_TIME)]
        return all(any(f'libvirt_domain_name="{name}"' in line for line in measured) for name in DOMAINS)

    def _stages(self, trace: str) -> set[tuple[str, str]]:
        found = spans(self._stage.backend.trace(trace))
        return {(span.service, span.name.rpartition(".")[2]) for span in found}

    def _status(self) -> Document:
        said = self._stage.control_plane.kubectl("get", "monitorpolicy", POLICY, IN_SHOP, "-o", "json").stdout
        status: Document = json.loads(said).get("status", {})
        return status

    def _condition(self, name: str) -> bool:
        return any((item["type"], item["status"]) == (name, "True") for item in self._status().get("conditions", []))

    def _alert(self, rule: str, name: str) -> Document | None:
        alerts = self._status().get("activeAlerts", [])
        about = f"{NAMESPACE}/{name}"
        return next((item for item in alerts if (item["rule"], item["target"].split()[0]) == (rule, about)), None)

    def _busy_alert(self) -> Document:
        alert = self._alert(CPU_RULE, BUSY)
        if alert is None:
            raise ToolError(f"The alert {CPU_RULE} of {BUSY} is gone while it computes. {self._summary()}")
        return alert

    def _told(self, reason: str, name: str) -> bool:
        # Of its rule in the story: a busy machine may have another one fire, and resolve, for a moment.
        selector = f"--field-selector=reason={reason},involvedObject.name={name}"
        notes = ("-o", "jsonpath={.items[*].message}")
        return (
            f"rule {RULES[name]} "
            in self._stage.control_plane.kubectl("get", "events", IN_SHOP, selector, *notes).stdout
        )

    def _none_has_ended(self) -> None:
        for name in RULES:
            if self._told("AlertResolved", name):
                raise ToolError(f"An Event says that an alert of {name} has resolved, and its cause is still there.")

    def _summary(self) -> str:
        status = self._stage.control_plane.kubectl(
            "get", "monitorpolicy", POLICY, IN_SHOP, "-o", "jsonpath={.status}", check=False
        )
        return f"The policy's status: {status.stdout or status.stderr}"

    def _kubectl(self, *args: str, since: str = "") -> None:
        self._teller.kubectl(self._stage.control_plane, *args, since=since)

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            self._stage.check()  # What comes of a part is not waited for when that has ended meanwhile.
            return condition()

        with step(f"Waiting for {what}"):
            try:
                wait_for(holds, what=what, deadline=DEADLINE_S, poll=POLL_S)
            except ToolError as error:
                raise ToolError(f"{error.args[0]}. {self._summary()}", log=error.log) from error

from virtwatch_api.alert import Action, AlertKey, Reason
from virtwatch_api.nodemonitor import AgentHealth, Counts, Evidence, NodeStatus, Transition
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.targets import Subject, vm_ref

UUID = "6a1c1f0e-0000-4000-8000-000000000001"


def transition(sequence, *, traceparent=""):
    return Transition(
        sequence=sequence,
        alert=AlertKey(PolicyKey(PolicyKind.MONITOR_POLICY, "web", "shop"), "busy", vm_ref(UUID)),
        action=Action.FIRED,
        reason=next(iter(Reason)),
        severity=Severity.CRITICAL,
        previous=None,
        at=1_790_000_000.0,
        since=1_790_000_000.0,
        subject=Subject("shop_web-1", vm_ref(UUID), "n1", "shop", "web-1", "vmi-uid"),
        evidence=Evidence("vm.cpu.use", 0.9, 0.8, "CPU use 90 % is above 80 %"),
        traceparent=traceparent,
    )


def status(*, epoch="e1", transitions=(), virtual_machines=1, cpu=0.0, reported=0.0):
    return NodeStatus(
        epoch=epoch,
        sequence=max((item.sequence for item in transitions), default=0),
        transitions=tuple(transitions),
        waiting=0,
        firing=(),
        counts=Counts(),
        applied=(),
        virtual_machines=virtual_machines,
        agent=AgentHealth("0.1.0", 1_790_000_000.0, cpu, 1e6, 10, 0, reported),
        conditions=(),
    )

"""What may leave the node of targets and events where names leave hashed."""

from collections.abc import Mapping
from dataclasses import replace

from virtwatch_agent.observations import Sample, TargetEvent
from virtwatch_api.catalogue.entries import Source, TargetKind
from virtwatch_api.catalogue.events import EVENT
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.targets import ATTACHMENT_PREFIX, Subject
from virtwatch_telemetry.names import HashedNames

# Names that guests and people choose: those of volumes say whose they are ("web-1.qcow2").
_THEIRS = frozenset({"system.filesystem.mountpoint", "libvirt.storage_volume.name"})
_THEIR_SOURCES = (Source.GUEST, Source.STORAGE)
_PATH = "/\\:"  # a mount point holds one of them, on Windows too
_NAMED = (TargetKind.VIRTUAL_MACHINE, TargetKind.NAMESPACE)


class Names(HashedNames):
    """Turn targets and events into what may leave the node."""

    def subject(self, subject: Subject) -> Subject:
        """Return a target by what it may be called; nodes, pools and libvirt's networks keep theirs."""
        attached = subject.target.kind is TargetKind.NETWORK and subject.target.id.startswith(ATTACHMENT_PREFIX)
        if not self.hashed or not (attached or subject.target.kind in _NAMED):
            return subject
        namespace = self.of(subject.namespace) if subject.namespace else None
        name = self.of(subject.name) if subject.name else None
        target = subject.target
        if target.kind is TargetKind.NAMESPACE:
            target = target._replace(id=self.of(target.id))
        elif attached:
            named = target.id.removeprefix(ATTACHMENT_PREFIX)
            target = target._replace(id=ATTACHMENT_PREFIX + self.of(named))
        return replace(subject, target=target, label=self.of(subject.label), namespace=namespace, name=name)

    def device(self, signal: str, device: str) -> str:
        """Return what a device may be called: mount points and volumes are others' words, the rest are the node's."""
        theirs = signal in SIGNAL and SIGNAL[signal].device in _THEIRS
        return self.of(device) if theirs else device

    def judged_device(self, subject: str, device: str) -> str:
        """Return what an alert's device may be called; `subject` is the signal or event that its evidence names.

        It may not be the one that the device is of. The device of an event may be the guest's word, as in `attributes`.
        """
        named = SIGNAL[subject].device if subject in SIGNAL else None
        ours = named is not None and named not in _THEIRS and not any(mark in device for mark in _PATH)
        return device if ours else self.of(device)

    def sample(self, sample: Sample) -> Sample:
        """Return a sample with devices as they may be called."""
        if not self.hashed or sample.source not in _THEIR_SOURCES:
            return sample
        return replace(sample, values={(key, self.of(device)): value for (key, device), value in sample.values.items()})

    def attributes(self, event: TargetEvent) -> Mapping[str, str]:
        """Return what may be said of an event: only words of the catalogue, where names are hashed.

        Others may hold a name: the path of a disk, the node that a VM went to.
        """
        known = EVENT[event.type]
        return {
            key: value
            for key, value in event.attributes.items()
            if key in known.attributes and (not self.hashed or value in known.values(key))
        }

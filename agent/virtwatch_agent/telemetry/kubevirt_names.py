"""A VM's readings under the names of KubeVirt's own metrics, for dashboards that were made for those."""

from collections.abc import Mapping

from virtwatch_agent.observations import Series
from virtwatch_agent.telemetry.figures import Figure
from virtwatch_api.catalogue.readings import READING, Instrument
from virtwatch_api.targets import Subject

_PREFIX = "kubevirt "  # of the keys under which they are held beside the readings
_VCPU, _NIC, _DRIVE = "id", "interface", "drive"
_NAMES: Mapping[str, tuple[str, str | None]] = {
    "cpu.time": ("vcpu_seconds_total", _VCPU),
    "cpu.delay": ("vcpu_delay_seconds_total", _VCPU),
    "memory.rss": ("memory_resident_bytes", None),
    "memory.balloon": ("memory_actual_balloon_bytes", None),
    "memory.maximum": ("memory_domain_bytes", None),
    "memory.available": ("memory_available_bytes", None),
    "memory.usable": ("memory_usable_bytes", None),
    "memory.major_faults": ("memory_pgmajfault_total", None),
    "memory.swap_in": ("memory_swap_in_traffic_bytes", None),
    "memory.swap_out": ("memory_swap_out_traffic_bytes", None),
    **{
        f"network.{direction}.{ours}": (f"network_{direction}_{theirs}_total", _NIC)
        for direction in ("receive", "transmit")
        for ours, theirs in (
            ("bytes", "bytes"),
            ("packets", "packets"),
            ("drops", "packets_dropped"),
            ("errors", "errors"),
        )
    },
    "disk.read.operations": ("storage_iops_read_total", _DRIVE),
    "disk.write.operations": ("storage_iops_write_total", _DRIVE),
    "disk.read.bytes": ("storage_read_traffic_bytes_total", _DRIVE),
    "disk.write.bytes": ("storage_write_traffic_bytes_total", _DRIVE),
    "disk.read.time": ("storage_read_times_seconds_total", _DRIVE),
    "disk.write.time": ("storage_write_times_seconds_total", _DRIVE),
    "disk.flush.operations": ("storage_flush_requests_total", _DRIVE),
    "disk.flush.time": ("storage_flush_times_seconds_total", _DRIVE),
}


def _figure(key: str, name: str, device: str | None) -> Figure:
    reading = READING[key]
    # KubeVirt calls what was swapped a gauge, though it only grows.
    counter = reading.instrument is Instrument.COUNTER and name.endswith("_total")
    # Without a unit: Prometheus would add it to a name that says it already.
    return Figure(f"kubevirt_vmi_{name}", "", reading.description, counter, (), device)


KUBEVIRT_FIGURES: Mapping[str, Figure] = {
    f"{_PREFIX}{key}": _figure(key, name, device) for key, (name, device) in _NAMES.items()
}
_KEYS = {key: f"{_PREFIX}{key}" for key in _NAMES}


def again(values: Mapping[Series, float]) -> dict[Series, float]:
    """Return those readings that KubeVirt has too, under keys of `KUBEVIRT_FIGURES`."""
    return {(_KEYS[key], device): value for (key, device), value in values.items() if key in _KEYS}


def is_again(key: str) -> bool:
    """Return whether a key is such a one."""
    return key.startswith(_PREFIX)


def identity(subject: Subject) -> tuple[tuple[str, str], ...]:
    """Name a VM as KubeVirt's metrics do, on each point."""
    name, namespace = subject.name or subject.label, subject.namespace or ""
    return ("name", name), ("namespace", namespace), ("node", subject.node)

"""When a job counts as started, though libvirt tells only that it ended; what libvirt answers is the test's."""

from types import SimpleNamespace
from typing import Any

import libvirt
import pytest

from virtwatch_agent.collect.libvirt.events import PlainEvent, block_job, job_completed
from virtwatch_agent.collect.libvirt.jobs import Jobs, JobsSeen, read_jobs
from virtwatch_agent.observations import TargetEvent

COPY, BACKUP = ("copy", "vda"), ("backup", "")
BACKUP_OPERATION = libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP


def ended(job: tuple[str, str], *, seconds: float = 0.0, outcome: str = "completed") -> PlainEvent:
    if job == BACKUP:
        return PlainEvent(f"vm.backup_{outcome}", {}, seconds)
    return PlainEvent(f"vm.block_job_{outcome}", {"job": job[0], "device": job[1]})


class Looked:
    """One VM that is looked at, and what is told of it: type and time."""

    def __init__(self, *running: tuple[str, str]) -> None:
        self.jobs = Jobs()
        self.told: list[TargetEvent] = []
        self.look(0.0, *running)

    def look(self, at: float, *running: tuple[str, str], elapsed: float = 0.0) -> list[tuple[str, float]]:
        return self._take(self.jobs.seen("a", JobsSeen(at, dict.fromkeys(running, elapsed))))

    def report(self, at: float, event: PlainEvent) -> list[tuple[str, float]]:
        return self._take(self.jobs.reported("a", event, at=at))

    def _take(self, events: Any) -> list[tuple[str, float]]:
        new = list(events)
        self.told += new
        return [(event.type, event.at) for event in new]


def test_a_new_job_is_told_once_with_its_disk() -> None:
    vm = Looked()

    assert vm.look(15.0, COPY) == [("vm.block_job_started", 15.0)]
    assert vm.look(30.0, COPY) == []
    assert (vm.told[0].attributes, vm.told[0].inferred) == ({"device": "vda", "job": "copy"}, True)


def test_a_backup_is_told_at_its_begin() -> None:
    assert Looked().look(15.0, BACKUP, elapsed=4.0) == [("vm.backup_started", 11.0)]


def test_what_runs_at_the_first_look_is_no_news_and_its_end_neither() -> None:
    vm = Looked(COPY, BACKUP)

    assert vm.look(15.0, COPY, BACKUP) == vm.report(20.0, ended(COPY)) == vm.report(20.0, ended(BACKUP)) == []


def test_a_job_between_two_looks_is_told_before_its_end() -> None:
    vm = Looked()

    assert vm.report(10.0, ended(BACKUP, seconds=3.0)) == [("vm.backup_started", 7.0)]
    ((type_, at),) = vm.report(10.0, ended(COPY))
    assert type_ == "vm.block_job_started"
    assert at < 10.0, "patterns put events of one instant in the order of their names"


def test_a_job_that_waits_to_be_pivoted_runs() -> None:
    vm = Looked()

    assert vm.report(10.0, ended(COPY, outcome="ready"))[0][0] == "vm.block_job_started"
    assert vm.look(15.0, COPY) == vm.report(20.0, ended(COPY)) == []


def test_the_next_job_after_an_end_is_news_again() -> None:
    vm = Looked()
    vm.look(15.0, COPY)
    vm.report(16.0, ended(COPY, outcome="canceled"))

    assert vm.look(30.0, COPY) == [("vm.block_job_started", 30.0)]


def test_an_answer_from_before_an_end_tells_nothing() -> None:
    """libvirt was asked while the job ran, and its answer is taken after the job's end."""
    vm = Looked(COPY)
    vm.report(16.0, ended(COPY))

    assert vm.look(15.9, COPY) == []
    assert vm.report(17.0, ended(COPY)) != [], "it was another one"


def test_an_end_that_comes_after_a_look_without_the_job_is_that_jobs() -> None:
    vm = Looked()
    vm.look(15.0, COPY)
    vm.look(30.0)

    assert vm.report(30.1, ended(COPY)) == []


def test_a_job_whose_end_nobody_heard_is_forgotten() -> None:
    vm = Looked()
    for at, running in ((15.0, [COPY]), (30.0, []), (45.0, [])):
        vm.look(at, *running)

    assert vm.look(60.0, COPY) == [("vm.block_job_started", 60.0)]


def test_a_vm_that_is_not_looked_at_has_no_starts() -> None:
    jobs = Jobs()
    assert list(jobs.reported("a", ended(COPY), at=1.0)) == []

    vm = Looked(COPY)
    vm.jobs.forget("a")
    assert vm.report(10.0, ended(BACKUP)) == vm.look(15.0, BACKUP) == []


def test_other_events_start_nothing() -> None:
    assert Looked().report(10.0, PlainEvent("vm.agent_connected", {})) == []


@pytest.mark.parametrize("job", [{"type": 0}, {"type": 1, "operation": 2}, {"type": 3, "operation": BACKUP_OPERATION}])
def test_only_a_backup_that_runs_is_one(job: dict[str, int]) -> None:
    domain: Any = SimpleNamespace(jobStats=lambda: job, blockJobInfo=lambda _: {})

    assert read_jobs(domain, ["vda"], at=1.0) == JobsSeen(1.0, {})


def test_a_disks_part_of_a_backup_is_no_job_of_its_own() -> None:
    disks = {"vda": {"type": libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP}, "vdb": {"type": 1}, "sda": {}}
    stats = {"type": 2, "operation": BACKUP_OPERATION, "time_elapsed": 1500}
    domain: Any = SimpleNamespace(jobStats=lambda: stats, blockJobInfo=disks.__getitem__)

    assert read_jobs(domain, disks, at=1.0).running == {BACKUP: 1.5, ("pull", "vdb"): 0.0}
    assert block_job("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP, 0) is None
    assert job_completed({**stats, "success": True}) == PlainEvent("vm.backup_completed", {}, 1.5)


def test_a_driver_without_such_calls_has_no_jobs() -> None:
    connection = libvirt.open("test:///default")
    try:
        assert read_jobs(connection.lookupByName("test"), ["vda"], at=1.0) == JobsSeen(1.0, {})
    finally:
        connection.close()


def test_an_answer_that_is_not_whole_is_none() -> None:
    def gone(_: str) -> dict[str, int]:
        raise libvirt.libvirtError("invalid argument: disk 'vdb' not found in domain")

    domain: Any = SimpleNamespace(jobStats=lambda: {"type": 0}, blockJobInfo=gone)
    with pytest.raises(libvirt.libvirtError):
        read_jobs(domain, ["vdb"], at=1.0)

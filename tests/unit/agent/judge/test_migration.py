"""What each node says of a migration, in however many ways it is heard."""

from dataclasses import replace

import pytest

from virtwatch_agent.inventory import gaps
from virtwatch_agent.judge.migration import Migration, Under
from virtwatch_agent.observations import Domain, DomainState, KubernetesIdentity, TargetEvent
from virtwatch_api.targets import vm_ref

VM = vm_ref("a")
DB = Domain("a", "db-1", "qemu:///system", "1", DomainState.RUNNING)
VMI = KubernetesIdentity("shop", "web", "uid", ("pod",), {}, {})


def told(migration: Migration, type_: str, *, running: bool = True, **attributes: str) -> list[str]:
    """Return what is said of an event: "type attribute"."""
    said = migration.around(TargetEvent(f"vm.{type_}", VM, 5.0, attributes), running=running)
    return [" ".join((item.type.removeprefix("vm."), *item.attributes.values())) for item in said]


def test_the_node_that_a_vm_leaves_says_start_and_success_once() -> None:
    migration = Migration()

    assert told(migration, "migration_started") == ["migration_started"]
    assert told(migration, "migration_started") == []
    assert told(migration, "paused", reason="migration", running=False) == ["paused migration"]
    assert told(migration, "stopped", reason="migrated") == ["migration_completed source", "stopped migrated"]
    assert migration.under is Under.NONE


@pytest.mark.parametrize("reason", ["migration", "postcopy"])
def test_a_pause_tells_of_a_migration_whose_start_was_not_heard(reason: str) -> None:
    assert told(Migration(), "paused", reason=reason) == ["migration_started", f"paused {reason}"]
    assert told(Migration(), "paused", reason="user") == ["paused user"]


def test_a_vm_that_resumes_where_it_was_has_failed_to_migrate() -> None:
    migration = Migration(Under.OUT)

    assert told(migration, "resumed", reason="migrated") == ["resumed migrated", "migration_failed"]
    assert told(migration, "migration_failed") == []


def test_a_vm_that_stops_on_its_way_has_failed_to_migrate() -> None:
    assert told(Migration(Under.OUT), "stopped", reason="shutdown") == ["migration_failed stopped", "stopped shutdown"]
    assert told(Migration(), "stopped", reason="shutdown") == ["stopped shutdown"]


def test_the_node_to_which_a_vm_comes_says_success_when_it_runs_there() -> None:
    migration = Migration()

    assert told(migration, "started", reason="migrated", running=False) == ["started migrated"]
    assert told(migration, "paused", reason="migration", running=False) == ["paused migration"]
    assert told(migration, "resumed", reason="migrated") == ["resumed migrated", "migration_completed target"]
    assert told(migration, "resumed", reason="") == ["resumed "]
    assert told(Migration(), "started", reason="migrated") == ["started migrated", "migration_completed target"]


def test_a_vm_that_never_came_has_neither_crashed_nor_stopped() -> None:
    migration = Migration(Under.IN)

    assert told(migration, "crashed", reason="failed") == []
    assert told(migration, "stopped", reason="failed") == ["stopped migrated"]
    assert told(migration, "crashed", reason="failed") == ["crashed failed"]


@pytest.mark.parametrize(
    ("arrives", "reason", "said"),
    [
        ("resumed", "migrated", ["migration_completed target"]),
        ("resumed", "", ["migration_completed target"]),  # found by a look, which does not say why it runs
        ("resumed", "postcopy", []),
        ("paused", "user", ["migration_completed target"]),  # as it was where it came from
    ],
)
def test_a_vm_that_stops_after_it_came_has_stopped(arrives: str, reason: str, said: list[str]) -> None:
    migration = Migration()

    assert told(migration, "started", reason="migrated", running=False) == ["started migrated"]
    assert told(migration, "paused", reason="migration", running=False) == ["paused migration"]
    assert told(migration, arrives, reason=reason) == [f"{arrives} {reason}", *said]
    assert told(migration, "stopped", reason="destroyed") == ["stopped destroyed"]


def test_the_api_tells_start_and_failure_and_neither_again() -> None:
    migration = Migration()
    leaving = replace(VMI, migrating="m-1")
    failed = replace(VMI, migration_failed="node is full")

    def says(identity: KubernetesIdentity) -> list[str]:
        event = migration.reported_by_api(identity, VM, at=5.0)
        return [] if event is None else told(migration, event.type.removeprefix("vm."), **event.attributes)

    assert says(leaving) == ["migration_started"]
    assert says(leaving) == []
    assert says(failed) == ["migration_failed node is full"]
    assert says(leaving) == []  # a watch that comes late
    assert says(replace(VMI, migrating="m-2")) == ["migration_started"]


def test_what_a_gap_hid_of_a_migration_is_inferred() -> None:
    def inferred(domain: Domain, *, known: bool, leaving: bool) -> list[TargetEvent]:
        return list(gaps.migration(domain, known=known, leaving=leaving, at=5.0))

    assert inferred(DB, known=False, leaving=True) == [TargetEvent("vm.migration_started", VM, 5.0, inferred=True)]
    assert inferred(DB, known=True, leaving=False) == [TargetEvent("vm.migration_failed", VM, 5.0, inferred=True)]
    assert inferred(DB, known=False, leaving=False) == inferred(DB, known=True, leaving=True) == []
    # The API tells of a VM in a pod: its migration is under way before libvirt hears of it.
    assert inferred(replace(DB, pod_uid="pod"), known=True, leaving=False) == []

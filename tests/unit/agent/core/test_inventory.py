from virtwatch_agent.core.inventory import Inventory
from virtwatch_agent.journal.records import DomainRecord
from virtwatch_agent.journal.store import Restored
from virtwatch_agent.observations import Domain, DomainState

DB = Domain("uuid-1", "db-1", "qemu:///system", "1", DomainState.RUNNING)


def restarted() -> Inventory:
    inventory = Inventory("n1")
    inventory.restore(Restored("e", 0, (), (), (DomainRecord(DB, None),)), clock=100.0)
    return inventory


def test_a_vm_that_is_not_found_again_after_a_restart_is_missing_once() -> None:
    inventory = restarted()

    assert inventory.missing(clock=129.0, lost=lambda _: False) == []
    assert inventory.missing(clock=130.0, lost=lambda _: False) == ["uuid-1"]
    assert inventory.missing(clock=131.0, lost=lambda _: False) == []


def test_a_vm_whose_connection_cannot_be_seen_is_not_taken_for_stopped() -> None:
    inventory = restarted()

    assert inventory.missing(clock=500.0, lost=lambda name: name == "qemu:///system") == []
    assert inventory.awaits("uuid-1")
    assert inventory.missing(clock=529.0, lost=lambda _: False) == []
    assert inventory.missing(clock=530.0, lost=lambda _: False) == ["uuid-1"]


def test_a_vm_that_is_found_again_is_awaited_no_more() -> None:
    inventory = restarted()

    machine, inferred = inventory.appear(DB, at=0.0, clock=110.0)

    assert (machine.present, inferred) == (True, [])
    assert inventory.missing(clock=500.0, lost=lambda _: False) == []

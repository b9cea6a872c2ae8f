"""`virtwatch signals --connect`: the value of every signal now, or why there is none."""

import json

import pytest

from tests.integration.agent_collect.drivers import DRIVERS, Driver, answer_as
from tests.integration.cli.conftest import Virtwatch
from virtwatch_cli import signals_now


def test_every_layer_of_a_libvirt_has_values(virtwatch: Virtwatch) -> None:
    command = virtwatch("signals", "--connect", "test:///default", "-o", "json", "--seconds", "10")
    assert command.exit_code() == 0
    figures = {
        (item["target"]["kind"], item["signal"]): item for item in json.loads(command.output) if not item["device"]
    }
    assert figures["VirtualMachine", "vm.cpu.utilization"]["value"] > 0
    assert figures["StoragePool", "pool.available"]["value"] == 100 << 30
    assert figures["Network", "network.active"]["value"] == 1
    assert 0 < figures["Node", "node.memory.available.ratio"]["value"] < 1
    absent = figures["Network", "network.leases"]
    assert (absent["value"], absent["unavailable"]) == (None, "the network is stopped, or its driver knows no leases")


def test_a_wrong_connection_is_answered_at_once(virtwatch: Virtwatch) -> None:
    command = virtwatch("signals", "vm.cpu.utilization", "--connect", "qemu+unix:///system?socket=/nowhere/sock")
    assert command.exit_code() == 1
    assert "cannot be reached" in command.output
    assert command.output.count("\n") == 1


def test_what_a_vm_or_the_node_cannot_give_is_named_with_the_reason(virtwatch: Virtwatch) -> None:
    command = virtwatch("signals", "vm.pressure.io.ratio", "--connect", "test:///default", "-o", "json")

    assert command.exit_code() == 0
    [figure] = json.loads(command.output)
    assert figure["value"] is None
    assert "no QEMU process of it can be read here" in figure["unavailable"]


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_what_another_hypervisors_driver_lacks_is_named(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, for the test driver must be made to refuse what the other lacks."""
    answer_as(driver, monkeypatch)
    # A rate needs two looks: they are made well within the time, however busy the machine is.
    monkeypatch.setattr(signals_now, "_EVERY_S", 0.2)
    monkeypatch.setattr(signals_now, "_FIND_S", 60.0)

    assert signals_now.show(uris=("test:///default",), name=None, seconds=5.0, as_json=True, guest_agent=False) == 0

    figures = {item["signal"]: item for item in json.loads(capsys.readouterr().out) if not item["device"]}
    assert figures["vm.cpu.utilization"]["value"] > 0
    for call, signal in (("memoryStats", "vm.memory.headroom.ratio"), ("blockStats", "vm.disk.read.rate")):
        if call not in driver.offers:
            assert figures[signal]["value"] is None
            assert "driver" in figures[signal]["unavailable"]

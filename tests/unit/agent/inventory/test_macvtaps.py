"""Macvtaps in a /proc and /sys that the test lays out: this kernel has no driver for them."""

from pathlib import Path

import pytest

from virtwatch_agent.inventory.macvtaps import Macvtaps


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "devices").write_text("Character devices:\n  5 /dev/tty\n241 macvtap\n\nBlock devices:\n241 sd\n")
    devices = tmp_path / "dev" / "char"
    devices.mkdir(parents=True)
    (devices / "5:0").symlink_to("../../devices/virtual/tty/tty")
    return tmp_path


def test_a_macvtap_of_a_pod_is_known_by_its_character_device(host: Path) -> None:
    (host / "dev" / "char" / "241:0").symlink_to("../../devices/virtual/net/net1/macvtap/tap7")

    macvtaps = Macvtaps(host, host)

    assert "net1" in macvtaps
    assert "tap0" not in macvtaps


def test_an_interface_of_the_host_tells_what_it_is(host: Path) -> None:
    for name, text in {"mv0": "DEVTYPE=macvtap\nINTERFACE=mv0\n", "vnet0": "INTERFACE=vnet0\n"}.items():
        (host / "class" / "net" / name).mkdir(parents=True)
        (host / "class" / "net" / name / "uevent").write_text(text)

    macvtaps = Macvtaps(host, host)

    assert ("mv0" in macvtaps, "vnet0" in macvtaps) == (True, False)


def test_a_host_whose_devices_cannot_be_read_has_none(tmp_path: Path) -> None:
    assert "net1" not in Macvtaps(tmp_path / "none", tmp_path / "none")

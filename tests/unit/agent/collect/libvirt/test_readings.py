import pytest

from virtwatch_agent.collect.libvirt import readings
from virtwatch_api.catalogue.readings import READING, Source

BLOCK = {
    "block.count": 2,
    "block.0.name": "vda",
    "block.0.rd.reqs": 10,
    "block.0.rd.bytes": 4096,
    "block.0.rd.times": 2_500_000_000,
    "block.0.wr.reqs": 20,
    "block.0.wr.bytes": 8192,
    "block.0.wr.times": 500_000_000,
    "block.0.fl.reqs": 3,
    "block.0.fl.times": 1_000_000_000,
    "block.0.allocation": 1 << 20,
    "block.0.capacity": 1 << 24,
    "block.0.physical": 1 << 20,
    "block.1.name": "sda",  # an empty CD drive
}
BALLOON = {
    "balloon.current": 1024,
    "balloon.maximum": 2048,
    "balloon.available": 1000,
    "balloon.usable": 500,
    "balloon.major_fault": 7,
    "balloon.swap_in": 2,
    "balloon.swap_out": 3,
    "balloon.last-update": 1_000_000,
    "balloon.rss": 99,
}


def test_every_reading_of_a_disk_is_bytes_seconds_or_operations():
    values = readings.block(BLOCK)
    assert values["disk.read.time", "vda"] == pytest.approx(2.5)
    assert values["disk.flush.operations", "vda"] == 3
    assert values["disk.allocation", "vda"] == 1 << 20
    assert values["disk.room", "vda"] == 1 << 24
    assert {key for key, _ in values} == {key for key, reading in READING.items() if reading.source is Source.BLOCK}


def test_an_empty_drive_has_no_readings():
    assert {device for _, device in readings.block(BLOCK)} == {"vda"}


def test_every_reading_of_memory_is_bytes():
    values = readings.balloon(BALLOON, now=1_000_004.0)
    assert values["memory.balloon", ""] == 1 << 20
    assert values["memory.swap_in", ""] == 2048
    assert values["memory.major_faults", ""] == 7
    assert values["memory.guest.age", ""] == pytest.approx(4.0)
    assert {key for key, _ in values} == {key for key, reading in READING.items() if reading.source is Source.BALLOON}


def test_a_guest_without_a_driver_has_neither_figures_nor_an_age():
    values = readings.balloon({"balloon.current": 1, "balloon.maximum": 1, "balloon.last-update": 0}, now=5.0)
    assert set(values) == {("memory.balloon", ""), ("memory.maximum", "")}


def test_a_clock_that_was_set_back_gives_no_negative_age():
    assert readings.balloon(BALLOON, now=10.0)["memory.guest.age", ""] == 0


def test_figures_that_a_driver_does_not_know_are_absent():
    assert readings.block_stats("vda", (1, 2, -1, -1, 0), (8, 4, 4)) == {
        ("disk.read.operations", "vda"): 1,
        ("disk.read.bytes", "vda"): 2,
        ("disk.capacity", "vda"): 8,
        ("disk.allocation", "vda"): 4,
        ("disk.room", "vda"): 8,
    }
    assert ("network.transmit.drops", "vnet0") not in readings.interface_stats("vnet0", (1, 1, 1, 1, 1, 1, 1, -1))


def test_memory_statistics_of_one_domain_read_as_the_bulk_ones():
    stats = {"actual": 1024, "usable": 500, "last_update": 100}
    assert readings.memory_stats(stats, 2048, now=103.0) == readings.balloon(
        {"balloon.current": 1024, "balloon.usable": 500, "balloon.last-update": 100, "balloon.maximum": 2048}, now=103.0
    )


GIB = 1 << 30


@pytest.mark.parametrize(
    ("on_volume", "capacity", "allocation", "physical", "expected"),
    [
        (False, GIB, GIB, 8192, (8192, GIB)),  # a raw file with one write to its last sector
        (True, 100 * GIB, 2.9 * GIB, 3 * GIB, (2.9 * GIB, 3 * GIB)),  # qcow2 of 100 GiB on a volume of 3
        (True, 100 * GIB, 0, 3 * GIB, (None, 3 * GIB)),  # the same after a restart: nobody knows until QEMU writes
        (False, GIB, GIB // 2, 0, (GIB // 2, GIB)),  # over the network: libvirt knows no physical size
        (False, GIB, 0, 2 * GIB, (2 * GIB, 2 * GIB)),  # a qcow2 with snapshots is larger than what the guest sees
    ],
)
def test_a_disk_is_as_full_as_the_storage_under_it(on_volume, capacity, allocation, physical, expected):
    stats = {"block.count": 1, "block.0.name": "vda", "block.0.path": "/x", "block.0.capacity": capacity}
    stats |= {"block.0.allocation": allocation, "block.0.physical": physical}
    values = readings.block(stats, {"vda"} if on_volume else set())
    found = (values.get(("disk.allocation", "vda")), values.get(("disk.room", "vda")))
    assert found == (expected or (None, None))


def test_a_raw_volume_cannot_fill():
    stats = {"block.count": 1, "block.0.name": "vda", "block.0.path": "/dev/pvc", "block.0.capacity": GIB}
    stats |= {"block.0.allocation": GIB, "block.0.physical": GIB}
    assert readings.block(stats, raw_volumes={"vda"}) == {("disk.capacity", "vda"): GIB}


def test_figures_that_the_guest_reports_no_more_are_no_data():
    fresh = readings.balloon(BALLOON, now=1_000_029.0, period=10.0)
    stale = readings.balloon(BALLOON, now=1_000_031.0, period=10.0)
    assert ("memory.usable", "") in fresh
    assert {key for key, _ in stale} == {
        "memory.balloon",
        "memory.maximum",
        "memory.guest.age",
        "memory.guest.updated",
    }


def test_a_guest_that_nobody_asks_is_dead_soon_after_its_boot():
    assert ("memory.usable", "") not in readings.balloon(BALLOON, now=1_000_016.0, period=0.0)


def test_what_a_migration_has_left_is_0_without_one():
    assert readings.migration({}) == {("migration.remaining", ""): 0.0}
    assert readings.migration({"data_remaining": 1 << 20}) == {("migration.remaining", ""): float(1 << 20)}


def test_a_migrations_downtime_is_known_after_its_first_pass():
    first, later = {"data_remaining": 1, "downtime": 0}, {"data_remaining": 1, "downtime": 350}

    assert ("migration.downtime", "") not in readings.migration(first)
    assert readings.migration(later)["migration.downtime", ""] == pytest.approx(0.35)


MEASURED = {
    "dirtyrate.calc_status": 2,
    "dirtyrate.calc_start_time": 1000,
    "dirtyrate.calc_period": 1,
    "dirtyrate.megabytes_per_second": 3,
}


@pytest.mark.parametrize(
    ("job", "stats", "now", "rate"),
    [
        ({"memory_dirty_rate": 256, "memory_page_size": 4096}, {}, 1.0, 1 << 20),
        ({"memory_dirty_rate": 256, "memory_page_size": 4096}, MEASURED, 1001.0, 1 << 20),
        ({"memory_dirty_rate": 0, "memory_page_size": 4096}, MEASURED, 1001.0, 3 << 20),
        ({}, MEASURED, 1090.0, 3 << 20),
        ({}, MEASURED, 1091.0, None),
        ({}, MEASURED, 999.0, None),  # of another boot of the host
        ({}, {**MEASURED, "dirtyrate.calc_status": 1}, 1001.0, None),
        ({}, {"dirtyrate.calc_status": 0}, 1001.0, None),
        ({}, {}, 1001.0, None),
    ],
)
def test_a_dirty_rate_is_its_migrations_or_a_fresh_measurement(job, stats, now, rate):
    assert readings.dirty_rate(job, stats, now=now).get(("memory.dirty.rate", "")) == rate

"""libvirt's own test driver: no daemon, no process, and events all the same."""

import time
from pathlib import Path

import libvirt
import pytest

from tests.integration.agent_collect import collected as plans
from tests.integration.agent_collect.conftest import PATIENT_S, URI, UUID, Collect
from virtwatch_agent.collect.libvirt.devices import Devices, parse_devices
from virtwatch_agent.observations import Appeared, DomainState, Sample, Vanished
from virtwatch_api.catalogue.readings import READING, Source
from virtwatch_api.targets import vm_ref


def test_its_domain_appears_and_is_sampled_from_every_source(collect: Collect, domain: libvirt.virDomain) -> None:
    collected = collect(uris=(URI,))
    assert collected.appeared(UUID).domain.name == "test"
    kernel = collected.sample(UUID, Source.KERNEL)
    assert {key for key, _ in kernel.values} >= {"cpu.time", "cpu.count", "network.receive.bytes"}
    block = collected.sample(UUID, Source.BLOCK)
    assert ("disk.read.bytes", "vda") in block.values
    balloon = collected.sample(UUID, Source.BALLOON)
    assert balloon.values["memory.maximum", ""] == domain.maxMemory() * 1024
    for sample in (kernel, block, balloon):
        assert all(READING[key].source is sample.source for key, _ in sample.values)


def test_its_cpu_time_grows(collect: Collect, domain: libvirt.virDomain) -> None:
    collected = collect(uris=(URI,))
    first = collected.sample(UUID, Source.KERNEL)
    later = collected.sample(
        UUID,
        Source.KERNEL,
        holding=lambda sample: sample.values["cpu.time", "0"] > first.values["cpu.time", "0"],
    )
    assert later.clock > first.clock
    assert later.incarnation == first.incarnation


@pytest.mark.usefixtures("unconfirmed")
def test_a_life_is_told_turn_by_turn(collect: Collect, domain: libvirt.virDomain) -> None:
    collected = collect(uris=(URI,))
    collected.appeared(UUID)
    since = collected.mark()
    domain.suspend()
    assert collected.event(UUID, "vm.paused").attributes == {"reason": "user"}
    domain.resume()
    collected.event(UUID, "vm.resumed")
    domain.destroy()
    assert collected.event(UUID, "vm.stopped").attributes == {"reason": "destroyed"}
    domain.create()
    collected.event(UUID, "vm.started")
    told = collected.events(UUID, since=since)
    assert [event.type for event in told] == ["vm.paused", "vm.resumed", "vm.stopped", "vm.started"]
    assert not any(event.inferred for event in told)
    states = [one.domain.state for one in collected.all[since:] if isinstance(one, Appeared)]
    assert states == [DomainState.PAUSED, DomainState.RUNNING, DomainState.RUNNING]


def test_a_domain_that_is_gone_is_sampled_no_more(collect: Collect, domain: libvirt.virDomain) -> None:
    collected = collect(uris=(URI,), call_deadline=PATIENT_S)
    collected.sample(UUID, Source.KERNEL)
    domain.destroy()
    collected.wait(lambda all_: next((o for o in all_ if isinstance(o, Vanished)), None), "the domain to vanish")
    since = collected.mark()
    domain.create()
    restarted = collected.sample(UUID, Source.KERNEL, since=since)
    appeared = collected.appeared(UUID, since=since)
    assert restarted.incarnation == appeared.domain.incarnation
    between = collected.all[since : collected.all.index(appeared)]
    assert between == []


def test_a_wrong_uri_is_one_problem_that_says_what_to_do(
    collect: Collect, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    uri = f"test://{tmp_path}/absent.xml"
    collected = collect(uris=(uri,))
    problem = collected.connection(uri, well=False).problem
    assert uri in problem
    assert "virsh -c URI list" in problem
    collected.wait(lambda _: len(caplog.records) > 0, "the log to say so")
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [problem]


def test_a_uri_that_is_repaired_is_found_without_a_restart(collect: Collect, tmp_path: Path) -> None:
    node = tmp_path / "node.xml"
    uri = f"test://{node}"
    collected = collect(uris=(uri,))
    collected.connection(uri, well=False)
    node.write_text(
        f"<node><domain type='test'><name>a</name><uuid>{UUID}</uuid><memory>1024</memory>"
        "<os><type>hvm</type></os></domain></node>"
    )
    collected.connection(uri, well=True)
    assert collected.appeared(UUID).domain.connection == uri


def test_a_domain_whose_xml_is_none_costs_its_own_figures(
    collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuids = [f"6695eb01-f6a4-8304-79aa-00000000000{number}" for number in range(3)]
    domains = "".join(
        f"<domain type='test'><name>vm-{number}</name><uuid>{uuid}</uuid><memory>8388608</memory><vcpu>2</vcpu>"
        f"<os><type>hvm</type></os></domain>"
        for number, uuid in enumerate(uuids)
    )
    node = tmp_path / "node.xml"
    node.write_text(f"<node>{domains}</node>")

    def broken(xml: str) -> Devices:
        # What libvirt escapes wrongly, as a control character in a title, cannot be made on purpose.
        return parse_devices(xml.replace("<name>vm-1", "\x01<name>vm-1"))

    monkeypatch.setattr("virtwatch_agent.collect.libvirt.inspection.parse_devices", broken)
    collected = collect(uris=(f"test://{node}",))
    for uuid in uuids:
        collected.sample(uuid, Source.KERNEL)
    named = collected.unwatched(f"test://{node} kernel", well=False)
    assert named.problem.startswith("VM vm-1: its XML cannot be read")

    monkeypatch.setattr("virtwatch_agent.collect.libvirt.inspection.parse_devices", parse_devices)
    collected.unwatched(f"test://{node} kernel", well=True)


def test_an_empty_drive_costs_its_own_figures_alone(collect: Collect, tmp_path: Path) -> None:
    uuids = [f"6695eb01-f6a4-8304-79aa-10000000000{number}" for number in range(3)]
    disk = "<disk type='file' device='disk'><source file='/x'/><target dev='vda'/></disk>"
    drive = "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"
    domains = "".join(
        f"<domain type='test'><name>vm-{number}</name><uuid>{uuid}</uuid><memory>8388608</memory><vcpu>2</vcpu>"
        f"<os><type>hvm</type></os><devices>{disk}{drive if number == 1 else ''}</devices></domain>"
        for number, uuid in enumerate(uuids)
    )
    node = tmp_path / "node.xml"
    node.write_text(f"<node>{domains}</node>")

    collected = collect(uris=(f"test://{node}",))

    for uuid in uuids:
        assert ("memory.maximum", "") in collected.sample(uuid, Source.BALLOON).values
        assert ("disk.read.bytes", "vda") in collected.sample(uuid, Source.BLOCK).values


def test_a_source_is_asked_once_more_between_two_instants_of_its_plan(
    collect: Collect, domain: libvirt.virDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "OFTEN", {Source.KERNEL: 3600.0})
    collected = collect(uris=(URI,))
    collected.sample(UUID, Source.KERNEL)
    since, at = collected.mark(), time.monotonic() + 0.2

    collected.collector.look_again(vm_ref(UUID), Source.KERNEL, at)

    assert collected.sample(UUID, Source.KERNEL, since=since, holding=lambda one: one.due == at).clock >= at


def test_what_is_scattered_comes_once_in_each_stretch_and_answers_its_end(
    collect: Collect, domain: libvirt.virDomain
) -> None:
    collected = collect(uris=(URI,))
    collected.appeared(UUID)
    collected.collector.scatter(vm_ref(UUID), {Source.KERNEL: 0.5})
    collected.ask(UUID, Source.KERNEL, every=0.5)
    since = collected.mark()

    def scattered() -> list[Sample]:
        kernel = [one for one in collected.all[since:] if isinstance(one, Sample) and one.source is Source.KERNEL]
        return [one for one in kernel if one.due is not None and one.due % 0.5 == 0]

    collected.wait(lambda _: len(scattered()) > 6, "samples of six stretches")
    ends = [one.due for one in scattered()]
    assert len(set(ends)) == len(ends)
    on_time = [one for one in scattered()[1:] if one.due - 0.5 <= one.clock < one.due]
    assert len({round(one.clock % 0.5, 2) for one in on_time}) > 1  # at no fixed instant

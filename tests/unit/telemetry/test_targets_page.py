"""The agent's page for Prometheus, asked over HTTP as Prometheus does."""

import urllib.request

from virtwatch_agent.export_settings import ExportSettings
from virtwatch_agent.observations import Sample
from virtwatch_agent.telemetry.targets_page import TargetsPage
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import Subject, vm_ref
from virtwatch_telemetry.page import Page

VMS = [
    Subject(f"shop_web{number}", vm_ref(f"3f1c0f5e-0000-4000-8000-00000000000{number}"), "n1", "shop", f"web{number}")
    for number in (1, 2)
]


def lines(page: TargetsPage) -> list[str]:
    whole = Page()
    whole.more.append(page)
    server, thread = whole.serve(0)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            return [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def looks(page: TargetsPage, subject: Subject, used: float, *, at: float, incarnation: str = "1") -> None:
    values = {("cpu.time", "0"): used, ("memory.rss", ""): 4096.0}
    page.sample(subject, Sample(subject.target, Source.KERNEL, incarnation, 0.0, at, at, values))


def test_each_vm_is_shown_with_its_names_and_rates_between_two_questions():
    page = TargetsPage(ExportSettings(), lambda: 110.0)
    for vm in VMS:
        looks(page, vm, 1.0, at=100.0)
    first = lines(page)
    assert sum(line.startswith("libvirt_domain_memory_rss_bytes{") for line in first) == 2
    (time,) = [x for x in first if x.startswith("libvirt_domain_vcpu_time_seconds_total{") and 'name="web1"' in x]
    assert 'k8s_namespace_name="shop"' in time
    assert time.endswith(" 1.0")

    looks(page, VMS[0], 6.0, at=110.0)
    (used,) = [x for x in lines(page) if x.startswith("libvirt_domain_cpu_utilization_ratio{")]
    assert used.endswith(" 0.5")
    (again,) = [x for x in lines(page) if x.startswith("libvirt_domain_cpu_utilization_ratio{")]
    assert again == used  # nothing new was measured


def test_a_vm_that_is_gone_is_shown_no_more():
    page = TargetsPage(ExportSettings(kubevirt_names=True), lambda: 100.0)
    for vm in VMS:
        looks(page, vm, 1.0, at=100.0)
    assert sum(line.startswith("kubevirt_vmi_memory_resident_bytes{") for line in lines(page)) == 2
    page.forget(VMS[0].target)
    shown = [line for line in lines(page) if line.startswith(("kubevirt_", "libvirt_"))]
    assert shown
    assert all("web2" in line for line in shown)


def test_a_target_of_which_nothing_comes_is_shown_no_more():
    now = [100.0]
    page = TargetsPage(ExportSettings(), lambda: now[0])
    looks(page, VMS[0], 1.0, at=100.0)
    assert any(line.startswith("libvirt_") for line in lines(page))

    now[0] += 301.0
    assert not any(line.startswith("libvirt_") for line in lines(page))


def test_a_vm_that_started_anew_has_no_rates_of_before():
    page = TargetsPage(ExportSettings(), lambda: 120.0)
    for used, at, incarnation in ((1.0, 100.0, "1"), (6.0, 110.0, "1"), (0.5, 120.0, "2")):
        looks(page, VMS[0], used, at=at, incarnation=incarnation)
        shown = [line for line in lines(page) if line.startswith("libvirt_domain_cpu_utilization_ratio{")]
        assert len(shown) == (at == 110.0)


def test_an_idle_disk_has_no_latency_any_more():
    page, vm = TargetsPage(ExportSettings(), lambda: 120.0), VMS[0]
    for count, at in ((1.0, 100.0), (2.0, 110.0), (2.0, 120.0)):
        values = {("disk.read.operations", "vda"): count, ("disk.read.time", "vda"): 5.0 * count}
        page.sample(vm, Sample(vm.target, Source.BLOCK, "1", 0.0, at, at, values))
        shown = [line for line in lines(page) if line.startswith("libvirt_domain_disk_latency_seconds{")]
        assert len(shown) == (at == 110.0)


def test_a_policy_bounds_what_is_shown_of_its_targets_under_all_names():
    page = TargetsPage(ExportSettings(kubevirt_names=True), lambda: 100.0)
    for vm in VMS:
        looks(page, vm, 1.0, at=100.0)

    def shown(vm: Subject) -> int:
        return sum(f'"{vm.name}"' in line for line in lines(page))

    every = shown(VMS[1])
    page.bound(VMS[0].target, 1)
    assert (shown(VMS[0]), shown(VMS[1])) == (1, every)
    assert page.cut_by_policies == {VMS[0].target: every - 1}
    assert page.cut() == every - 1
    page.bound(VMS[0].target, 0)
    assert shown(VMS[0]) == every > 2
    assert page.cut_by_policies == {}

from lab.installed.system import System
from tests.integration.system.watched import Watched


def test_a_restarted_libvirtd_is_found_again(watched: Watched) -> None:
    daemon = watched.machine.launcher.daemon
    daemon.stop()
    watched.wait_condition("Collecting", "False")
    daemon.start()
    watched.wait_condition("Collecting", "True")
    watched.pause()
    watched.wait_told("AlertCritical")
    assert len(watched.complaints) <= 1, watched.log


def test_what_happened_while_libvirtd_was_down_is_told_once_it_is_back(watched: Watched) -> None:
    watched.pause()
    watched.wait_told("AlertCritical")
    watched.machine.launcher.daemon.kill()
    watched.machine.launcher.daemon.start()
    watched.resume()
    watched.wait_told("AlertCritical", "AlertResolved")


def test_a_frozen_libvirtd_is_a_blind_spot_and_no_end(watched: Watched) -> None:
    watched.machine.launcher.daemon.freeze()
    watched.wait_condition("Collecting", "False")
    watched.machine.launcher.daemon.thaw()
    watched.wait_condition("Collecting", "True")
    watched.pause()
    watched.wait_told("AlertCritical")


def test_a_pod_that_goes_takes_its_alert_along_and_a_new_one_is_watched(watched: Watched, system: System) -> None:
    passing = system.add("web-2")
    system.put_in_force("passing", {**PAUSED, "name": "passing"}, target={"names": ["web-2"]})
    watched.wait_virtual_machines(2)
    passing.guest.resume()
    passing.guest.pause()
    watched.wait_firing("passing")
    passing.stop()
    system.machines.remove(passing)
    watched.wait_virtual_machines(1)
    system.wait(lambda: not system.status().get("firing"), what="the alert to go with its VM")
    assert watched.complaints == []


PAUSED = {"severity": "Warning", "event": {"type": "vm.paused", "resolveOn": ["vm.resumed", "vm.stopped"]}}

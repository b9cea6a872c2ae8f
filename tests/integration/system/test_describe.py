"""What a person reads at the top of `kubectl describe`, on all of virtwatch as processes."""

from tests.integration.system.conftest import RULE
from tests.integration.system.watched import Watched

HELD = {"name": "held", "threshold": {"signal": "vm.memory.rss", "warning": {"above": "1Mi"}}}


def about(watched: Watched, *what: str) -> list[str]:
    """Return the lines under About, each as one."""
    described = watched.system.control_plane.kubectl("describe", *what).stdout.splitlines()
    begin = described.index("  About:") + 1
    end = next(number for number in range(begin, len(described)) if not described[number].startswith("    "))
    return [line.strip() for line in described[begin:end]]


def test_a_policy_says_what_it_watches_what_fires_and_who_is_told(watched: Watched) -> None:
    system = watched.system
    system.put_in_force("held", HELD, collection={"interval": "1s"}, target={"names": ["web-1"]})
    system.put_in_force("observed", HELD, enforcement="Observe")
    system.put_in_force("nobody", RULE, target={"selector": {"matchLabels": {"tier": "db"}}})
    there = ("monitorpolicy", f"--namespace={system.namespace}")
    fires = "1 alert fires, 0 of them Critical."
    system.wait(lambda: fires in about(watched, *there, "held"), what="the policy to say what fires")

    assert about(watched, *there, "held") == [
        "Watches 1 VM on 1 node (node-1) by 1 rule, each 1s.",
        fires,
        "Alerts become Kubernetes Events; nobody else is notified, as spec.notify names no channel.",
    ]
    assert about(watched, *there, "nobody")[0] == (
        "Watches nothing now: it selects no VM with labels tier=db in namespace shop."
    )
    way = "Rule held gives way to that of MonitorPolicy shop/held for 1 target."
    system.wait(lambda: way in about(watched, *there, "observed"), what="the policy to say why it watches nothing")
    (alert,) = system.policy("held")["status"]["activeAlerts"]
    assert alert["alert"].startswith("Warning: rule held fires for VM shop/web-1: vm.memory.rss is ")
    assert alert["alert"].endswith("Mi, above 1Mi")

    lines = about(watched, "nodemonitor", "node-1")
    assert lines[0] == "Judging 1 VM by 4 policies."
    assert fires in lines
    assert lines[-1].startswith("The agent takes ")
    (firing,) = system.status()["firing"]
    assert firing["evidence"]["bound"] == "1Mi"

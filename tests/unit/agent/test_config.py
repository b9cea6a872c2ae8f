from pathlib import Path

import pytest

from virtwatch_agent.__main__ import _pages
from virtwatch_agent.config import AgentSettings


def test_an_empty_environment_is_enough():
    settings = AgentSettings.from_environment({})
    assert isinstance(settings, AgentSettings)
    assert settings.node
    assert settings.pods_dir is None
    assert settings.libvirt_uris == ()
    assert settings.export_interval == 15.0


def test_every_setting_can_be_given():
    settings = AgentSettings.from_environment(
        {
            "VIRTWATCH_NODE": "n1.example.com",
            "POD_NAMESPACE": "vw",
            "VIRTWATCH_PODS_DIR": "/p",
            "VIRTWATCH_LIBVIRT_SOCKET": "/l/sock",
            "VIRTWATCH_LIBVIRT_URIS": "test:///default, qemu+ssh://h/system",
            "VIRTWATCH_PROC": "/host/proc",
            "VIRTWATCH_SYS": "/host/sys",
            "VIRTWATCH_STATE_DIR": "/s",
            "VIRTWATCH_HEALTH_PORT": "9000",
            "VIRTWATCH_EXPORT_INTERVAL": "1m",
            "VIRTWATCH_CPU_BUDGET": "500m",
            "VIRTWATCH_TRANSITION_BURST": "99",
        }
    )
    assert settings == AgentSettings(
        node="n1.example.com",
        namespace="vw",
        pods_dir=Path("/p"),
        libvirt_socket=Path("/l/sock"),
        libvirt_uris=("test:///default", "qemu+ssh://h/system"),
        proc=Path("/host/proc"),
        sys=Path("/host/sys"),
        state_dir=Path("/s"),
        health_port=9000,
        export_interval=60.0,
        cpu_budget=0.5,
        transition_burst=99,
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("VIRTWATCH_NODE", "Node_1", "spec.nodeName"),
        ("VIRTWATCH_PODS_DIR", "pods", "absolute path"),
        ("VIRTWATCH_LIBVIRT_SOCKET", "sock", "absolute path"),
        ("VIRTWATCH_LIBVIRT_URIS", "qemu:///system,nonsense", "qemu:///system"),
        ("VIRTWATCH_HEALTH_PORT", "0", "1 to 65535"),
        ("VIRTWATCH_HEALTH_PORT", "eighty", "1 to 65535"),
        ("VIRTWATCH_EXPORT_INTERVAL", "15", "15s"),
        ("VIRTWATCH_EXPORT_INTERVAL", "10ms", "between 1s and 1h"),
        ("VIRTWATCH_GUEST_AGENT", "yes", "on or off"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_hold(name, value, says):
    problems = AgentSettings.from_environment({name: value})
    assert isinstance(problems, tuple)
    (problem,) = problems
    assert problem.path == name
    assert says in problem.message


def test_all_wrong_settings_are_named_at_once():
    problems = AgentSettings.from_environment({"VIRTWATCH_PROC": "proc", "VIRTWATCH_HEALTH_PORT": "x"})
    assert {problem.path for problem in problems} == {"VIRTWATCH_PROC", "VIRTWATCH_HEALTH_PORT"}


@pytest.mark.parametrize(("text", "cpus"), [("", 0.0), ("500m", 0.5), ("0.25", 0.25), ("2", 2.0)])
def test_a_cpu_budget_is_written_as_kubernetes_does(text: str, cpus: float) -> None:
    settings = AgentSettings.from_environment({"VIRTWATCH_NODE": "n1", "VIRTWATCH_CPU_BUDGET": text})
    assert isinstance(settings, AgentSettings)
    assert settings.cpu_budget == cpus


@pytest.mark.parametrize("text", ["much", "-1", "5000"])
def test_a_wrong_cpu_budget_is_said_with_an_example(text: str) -> None:
    problems = AgentSettings.from_environment({"VIRTWATCH_NODE": "n1", "VIRTWATCH_CPU_BUDGET": text})
    assert not isinstance(problems, AgentSettings)
    assert "CPUs such as 500m" in str(problems[0])


def test_a_page_for_prometheus_is_made_only_where_a_port_is_set():
    for port, made in (("", False), ("9464", True)):
        settings = AgentSettings.from_environment({"VIRTWATCH_METRICS_PORT": port})
        assert isinstance(settings, AgentSettings)
        page, targets = _pages(settings)
        assert (page is not None, targets is not None) == (made, made)
        assert page is None or page.more == [targets]


def test_guests_are_asked_only_where_somebody_says_so():
    for text, asked in (("", False), ("off", False), ("on", True)):
        settings = AgentSettings.from_environment({"VIRTWATCH_NODE": "n1", "VIRTWATCH_GUEST_AGENT": text})
        assert isinstance(settings, AgentSettings)
        assert settings.guest_agent is asked

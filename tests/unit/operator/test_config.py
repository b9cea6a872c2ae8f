import pytest

from virtwatch_operator.config import OperatorSettings


def test_an_empty_environment_is_enough():
    settings = OperatorSettings.from_environment({})
    assert isinstance(settings, OperatorSettings)
    assert (settings.namespace, settings.lease, settings.health_port, settings.event_burst) == (
        "virtwatch-system",
        True,
        8080,
        25,
    )


def test_a_restarted_pod_does_not_hold_its_predecessors_lease():
    first, second = (OperatorSettings.from_environment({"POD_NAME": "operator-0"}) for _ in range(2))
    assert first.pod == second.pod == "operator-0"
    assert first.identity != second.identity


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("VIRTWATCH_LEASE", "maybe", "on or off"),
        ("VIRTWATCH_HEALTH_PORT", "0", "1 to 65535"),
        ("VIRTWATCH_HEALTH_PORT", "eighty", "1 to 65535"),
        ("VIRTWATCH_EVENT_BURST", "-3", "1 to 1000000"),
        ("VIRTWATCH_DENIED_NETWORKS", "10.0.0.0/8,all", "such as 10.0.0.0/8"),
        ("VIRTWATCH_METRICS_PORT", "0", "1 to 65535"),
        ("VIRTWATCH_EXPORT_HASH_KEY", "secret", "at least 16 characters"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_hold(name, value, says):
    problems = OperatorSettings.from_environment({name: value})
    assert isinstance(problems, tuple)
    (problem,) = problems
    assert problem.path == name
    assert says in problem.message
    assert value != "secret" or value not in problem.message


def test_tenants_reach_neither_listed_networks_nor_the_api_server():
    env = {"VIRTWATCH_DENIED_NETWORKS": "10.0.0.0/8, fd00::/8", "KUBERNETES_SERVICE_HOST": "172.20.0.1"}
    settings = OperatorSettings.from_environment(env)
    assert isinstance(settings, OperatorSettings)
    assert [str(item) for item in settings.denied_networks] == ["10.0.0.0/8", "fd00::/8", "172.20.0.1/32"]

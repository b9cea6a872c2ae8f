import pytest

from tests.integration.system.watched import Watched
from tests.otlp_sink import Sink


def test_transitions_wait_for_an_api_server_that_was_killed(watched: Watched) -> None:
    control_plane = watched.system.control_plane
    control_plane.apiserver.kill()
    watched.pause()
    watched.wait_log("lost")
    control_plane.apiserver.restart()
    control_plane.wait_ready()
    watched.wait_told("AlertCritical")
    watched.resume()
    watched.wait_told("AlertCritical", "AlertResolved")
    # The report and the watches of ThresholdSets, VMIs and the NodeMonitor lose one thing, and it is said once.
    # An API server that starts may refuse for a while what it will allow: that is another matter.
    assert len([line for line in watched.complaints if "403 Forbidden" not in line]) == 1, watched.log


@pytest.mark.parametrize("restarted", ["agent", "operator"])
def test_a_process_that_starts_without_an_api_server_waits_for_it(watched: Watched, restarted: str) -> None:
    control_plane = watched.system.control_plane
    control_plane.apiserver.kill()
    process = getattr(watched.system, restarted)
    process.restart()
    watched.pause()
    watched.system.wait(lambda: "lost" in process.log.read_text(), what=f"the {restarted} to say what it misses")
    assert process.alive
    control_plane.apiserver.restart()
    control_plane.wait_ready()
    watched.wait_told("AlertCritical")


def test_an_agent_without_an_api_server_judges_by_what_it_knew_and_keeps_it_over_a_kill(
    watched: Watched, otlp: Sink
) -> None:
    control_plane = watched.system.control_plane
    control_plane.apiserver.kill()
    watched.system.agent.restart()
    watched.pause()
    otlp.wait(lambda sink: transitions(sink, since=watched.began) == ["Fired"], deadline=60)
    watched.system.agent.kill()
    watched.resume()
    watched.system.agent.restart()
    otlp.wait(lambda sink: transitions(sink, since=watched.began) == ["Fired", "Resolved"], deadline=60)
    control_plane.apiserver.restart()
    control_plane.wait_ready()
    watched.wait_told("AlertCritical", "AlertResolved")


def transitions(sink: Sink, *, since: float) -> list[str]:
    """Give the actions of the transitions that were exported and happened since a time."""
    found = [record for record in sink.logs if record.message.event_name == "virtwatch.alert.transition"]
    recent = [record for record in found if record.message.time_unix_nano >= since * 1e9]
    return [record.attributes["virtwatch.alert.action"] for record in recent]

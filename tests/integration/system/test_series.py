from tests.integration.system.watched import Watched
from tests.otlp_sink import Sink

BUSY = {"name": "busy", "threshold": {"signal": "vm.cpu.utilization", "warning": {"above": "99%"}}}


def test_a_policy_bounds_what_its_targets_export_and_says_what_that_leaves_out(watched: Watched, otlp: Sink) -> None:
    system, name = watched.system, watched.machine.name
    system.put_in_force("bounded", BUSY, target={"names": [name]}, collection={"series": 3})

    def cut() -> int:
        return int(system.policy("bounded")["status"]["targets"].get("seriesCut", 0))

    system.wait(lambda: cut() > 0, what="the cut to be reported")
    status = system.policy("bounded")["status"]  # once: the cut grows while further sources are read first
    [line] = [line for line in status["about"] if "not exported" in line]
    said = f"{status['targets']['seriesCut']} series of 1 VM are not exported: spec.collection.series bounds them."
    assert line == said
    otlp.wait(lambda sink: any(item.message.name == "virtwatch.agent.export.series.cut" for item in sink.metrics), 30)

"""What the tests of telemetry over a network share."""

import pytest

from virtwatch_agent.telemetry.metrics_export import MetricsExport


@pytest.fixture
def patient_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is exported of targets take longer than the interval, which is short in tests: else it is dropped."""
    export = MetricsExport._export_safely
    monkeypatch.setattr(MetricsExport, "_export_safely", lambda self, _: export(self, float("inf")))

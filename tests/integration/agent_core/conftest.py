"""What every test of the core's loop starts from."""

import pytest


@pytest.fixture(autouse=True)
def no_rule_flaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journal each change as it comes: a rule that flaps has tests of its own (tests/unit/agent/core)."""
    for name in ("ALERT_BURST", "TARGET_BURST"):
        monkeypatch.setattr(f"virtwatch_agent.core.flapping.{name}", 1_000_000)

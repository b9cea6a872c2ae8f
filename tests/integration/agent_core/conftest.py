"""What all tests of the core with a scripted outside share."""

import pytest


@pytest.fixture(autouse=True)
def patient_with_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an agent that ends wait for a disk that a busy machine delays: what it leaves behind stays locked."""
    monkeypatch.setattr("virtwatch_agent.core.ledger._CLOSE_S", 30.0)

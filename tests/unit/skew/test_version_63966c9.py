"""A journal and objects that version 63966c9 wrote are read by this one; its alerts keep their ids."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.report_cases import full_status
from virtwatch_agent.journal.store import Journal, Restored
from virtwatch_api.nodemonitor_codec import decode_nodemonitor, encode_status
from virtwatch_api.targets import vm_ref
from virtwatch_api.thresholdset import ThresholdSet, parse_thresholdset

DATA = Path(__file__).parents[2] / "data" / "63966c9"
IDS = {"6c483402552e20d7": "cpu-starved", "6a199cb51122759a": "disk-full", "e80321613b23a938": "crashed"}


@pytest.fixture
def restored(tmp_path: Path) -> Restored:
    shutil.copy(DATA / "journal.db", tmp_path)
    journal = Journal(tmp_path)
    restored = journal.open(lambda: "new")
    journal.close()
    return restored


def test_alerts_of_the_journal_keep_their_ids_and_timers(restored: Restored) -> None:
    assert {item.key.id: item.key.rule for item in restored.alerts} == IDS
    crashed = next(item for item in restored.alerts if item.key.rule == "crashed")
    assert crashed.subject.target == vm_ref("7d6c3a0e-9a58-4b5a-8d0e-5a6a1f0e3a12")
    assert str(crashed.subject) == "Win 10"
    assert crashed.state.since == 1_799_999_970.0


def test_the_rest_of_the_journal_is_read_whole(restored: Restored) -> None:
    assert (restored.epoch, restored.sequence) == ("6f1c2b", 9)
    assert [item.sequence for item in restored.transitions] == [7, 8, 9]
    assert {item.domain.name for item in restored.domains} == {"shop_web-1", "Win 10"}
    assert restored.adopted == {"7a1c2b.12": 8}


def test_a_nodemonitor_is_read_and_written_as_it_was() -> None:
    document = json.loads((DATA / "nodemonitor.json").read_text())

    monitor = decode_nodemonitor(document)

    assert monitor.status is not None
    assert encode_status(monitor.status, newest=False) == document["status"]


def test_an_older_schema_gets_nothing_that_it_lacks() -> None:
    text = json.dumps(encode_status(full_status(), newest=False))

    assert not {"about", "alert", "place", "pool", "anomalies", "because"} & set(re.findall(r'"(\w+)":', text))


def test_an_older_operator_reads_the_figures_of_transitions() -> None:
    written = encode_status(full_status())

    assert all(float(item["evidence"]["value"]) for item in written["transitions"] if "value" in item["evidence"])
    assert written["firing"][2]["evidence"]["value"] == "96 %"


def test_a_thresholdset_is_read() -> None:
    parsed = parse_thresholdset(json.loads((DATA / "thresholdset.json").read_text()))

    assert isinstance(parsed, ThresholdSet), parsed
    assert [rule.name for rule in parsed.rules]

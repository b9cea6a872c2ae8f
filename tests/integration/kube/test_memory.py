# The file of the last known thresholds.
import logging

import pytest

from virtwatch_agent.kubernetes.memory import ThresholdMemory

DOCUMENT = {"metadata": {"name": "web", "namespace": "shop", "managedFields": [{"manager": "x"}]}, "spec": {"a": 1}}


def test_what_was_saved_is_loaded_without_what_only_the_api_server_needs(tmp_path):
    assert ThresholdMemory(tmp_path).save([DOCUMENT])
    assert ThresholdMemory(tmp_path).load() == [{"metadata": {"name": "web", "namespace": "shop"}, "spec": {"a": 1}}]


def test_an_empty_set_is_knowledge_and_no_file_is_none(tmp_path):
    memory = ThresholdMemory(tmp_path / "not-there-yet")
    assert memory.load() is None
    assert memory.save([])
    assert memory.load() == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"format": 2, "items": []}', b'{"format": 1, "items": [{}]}', b"null"],
)
def test_a_file_that_cannot_be_read_is_said_and_replaced(tmp_path, caplog, content):
    (tmp_path / "thresholds.json").write_bytes(content)
    memory = ThresholdMemory(tmp_path)
    assert memory.load() is None
    assert "nothing is judged until the API server answers" in caplog.text
    assert memory.save([DOCUMENT])
    assert len(memory.load()) == 1


def test_a_disk_that_refuses_is_said_once_and_once_when_it_works_again(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    memory = ThresholdMemory(tmp_path)
    memory.save([DOCUMENT])
    (tmp_path / "thresholds.new").mkdir()
    for _ in range(3):
        assert not memory.save([])
    assert len(memory.load()) == 1
    (tmp_path / "thresholds.new").rmdir()
    assert memory.save([])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]

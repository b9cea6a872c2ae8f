"""What becomes of judging while the disk of the state folder refuses, hangs, or loses the folder."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import BUSY, Agent, policy
from virtwatch_agent.journal.store import Batch, Journal
from virtwatch_api.nodemonitor import NodeStatus

# For a disk: twice what an agent has, so that nobody takes what a busy machine delays for an agent that waits for it.
PATIENCE_S = 10.0
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root")


def journaling(status: NodeStatus) -> tuple[bool | None, str]:
    found = next(item for item in status.conditions if item.type == "Journaling")
    return found.status, found.message


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of its own, which a test may freeze: writes hang then until it is thawed."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    yield folder
    subprocess.run(["fsfreeze", "--unfreeze", folder], check=False, capture_output=True)
    subprocess.run(["umount", "-l", folder], check=True)


def freeze(folder: Path) -> None:
    subprocess.run(["fsfreeze", "--freeze", folder], check=True)


def thaw(folder: Path) -> None:
    subprocess.run(["fsfreeze", "--unfreeze", folder], check=True)


def watching(folder: Path) -> Agent:
    agent = Agent(folder)
    agent.judge_by(policy(BUSY)).appear().see(50)
    agent.until(lambda status: status.virtual_machines == 1 and journaling(status)[0] is True)
    return agent


@needs_root
def test_a_disk_that_hangs_stops_no_judging(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtwatch_agent.core.ledger._PATIENCE_S", PATIENCE_S)
    agent = watching(disk)
    freeze(disk)
    frozen = time.monotonic()

    agent.see(150)
    status = agent.until(lambda status: bool(status.firing))

    assert time.monotonic() - frozen > PATIENCE_S - 0.5, "published before the disk was given its time"
    assert time.monotonic() - agent.core.alive_at < PATIENCE_S / 2  # it does not wait as long as the disk is given
    assert journaling(status)[0] is False
    assert "has not answered" in journaling(status)[1]
    agent.see(50)
    agent.until(lambda status: not status.firing, deadline=PATIENCE_S / 2)

    thaw(disk)
    agent.until(lambda status: journaling(status)[0] is True)
    agent.restart()
    assert agent.until(lambda status: status.sequence == 2).epoch == status.epoch
    agent.core.stop()


@needs_root
def test_a_disk_that_hangs_at_the_start_is_written_once_it_answers(disk: Path) -> None:
    freeze(disk)
    agent = Agent(disk)
    agent.judge_by(policy(BUSY)).appear().see(150)

    status = agent.until(lambda status: bool(status.firing))
    assert journaling(status)[0] is False

    thaw(disk)
    agent.until(lambda status: journaling(status)[0] is True)
    agent.restart()
    assert agent.until(lambda status: bool(status.firing)).epoch == status.epoch
    agent.core.stop()


def test_a_disk_that_refuses_is_tried_again_ever_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs a core is one attempt for each turn of the loop."""
    agent = watching(tmp_path)
    tried: list[Batch] = []

    def refuse(_: Journal, batch: Batch) -> None:
        tried.append(batch)
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "_write", lambda journal, _, batch: refuse(journal, batch))
        agent.see(150, 50).until(lambda status: journaling(status)[0] is False)
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            agent.see(150, 50)
            time.sleep(0.01)

        assert 1 <= len(tried) <= 4  # more only after 7.5 s
        assert journaling(agent.status)[0] is False
    agent.until(lambda status: journaling(status)[0] is True)
    agent.core.stop()


def test_a_folder_that_is_removed_is_made_anew_with_all_that_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"
    agent = watching(folder)
    agent.see(150)
    fired = agent.until(lambda status: bool(status.firing))

    shutil.rmtree(folder)
    monkeypatch.setattr("virtwatch_agent.core.ledger._CHECK_S", 0.2)  # no sooner: it is to be removed whole

    end = time.monotonic() + 30.0
    while not (folder / "journal.db").exists():  # though nothing happens
        assert time.monotonic() < end
        time.sleep(0.02)
    agent.restart()
    status = agent.until(lambda status: bool(status.firing))
    assert (status.epoch, status.sequence, status.firing[0].since) == (fired.epoch, 1, fired.firing[0].since)
    assert [item.sequence for item in status.transitions] == [1]
    agent.core.stop()


def test_a_folder_that_cannot_be_made_anew_is_a_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "state"
    agent = watching(folder)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    monkeypatch.setattr("virtwatch_agent.core.ledger._CHECK_S", 0.2)  # no sooner: it would be there again

    agent.until(lambda status: journaling(status)[0] is False)
    agent.see(150)
    fired = agent.until(lambda status: bool(status.firing))

    folder.unlink()
    agent.until(lambda status: journaling(status)[0] is True)
    agent.restart()
    assert agent.until(lambda status: bool(status.firing)).epoch == fired.epoch
    agent.core.stop()

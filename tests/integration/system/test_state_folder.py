import os
from contextlib import suppress
from pathlib import Path

from tests.integration.system.watched import Watched


def test_a_full_state_folder_is_said_once_and_costs_no_alert(watched: Watched) -> None:
    folder = watched.system.state_dir
    ballast = folder / "ballast"
    for _ in range(20):  # What is there already may take some more, and give some back.
        _fill(ballast)
        watched.pause()
        watched.resume()
    watched.wait_condition("Journaling", "False", saying=str(folder))
    watched.wait_told(*["AlertCritical", "AlertResolved"] * 20)
    # One line about the journal and one about the thresholds.
    assert len(watched.complaints) <= 2, watched.log
    ballast.unlink()
    watched.wait_condition("Journaling", "True")
    watched.pause()
    watched.wait_told(*["AlertCritical", "AlertResolved"] * 20, "AlertCritical")


def _fill(ballast: Path) -> None:
    space = os.statvfs(ballast.parent)
    with ballast.open("ab") as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), file.tell(), space.f_bavail * space.f_frsize)

"""Do slow things side by side: guests boot on one CPU each."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from tools.errors import ToolError
from tools.progress import note


def side_by_side(actions: Iterable[Callable[[], object]]) -> None:
    """Run the actions at the same time; return when all have ended, with the first one's error where there is one."""
    actions = list(actions)
    with ThreadPoolExecutor(max_workers=max(1, len(actions))) as pool:
        for outcome in [pool.submit(_outspoken(action)) for action in actions]:
            outcome.result()


def _outspoken(action: Callable[[], object]) -> Callable[[], object]:
    """Say at once what went wrong: the others may take minutes to end."""

    def run() -> object:
        try:
            return action()
        except ToolError as error:
            note(str(error))
            raise

    return run

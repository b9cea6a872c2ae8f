"""Do slow things side by side: guests boot on one CPU each."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from tools.errors import ToolError
from tools.progress import note


def side_by_side(actions: Iterable[Callable[[], object]]) -> None:
    """Run the actions at the same time; return when all have ended, with the first one's error where there is one."""
    actions = list(actions)
    with ThreadPoolExecutor(max_workers=max(1, len(actions))) as pool:
        for outcome in [submit(pool, action) for action in actions]:
            outcome.result()


def submit(pool: ThreadPoolExecutor, action: Callable[[], object]) -> Future[object]:
    """Let the pool run the action; what goes wrong is printed at once, for others may take minutes to end."""

    def run() -> object:
        try:
            return action()
        except ToolError as error:
            note(str(error))
            raise

    return pool.submit(run)

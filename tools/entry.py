"""How a command of ours ends: well, with one line about what is wrong, or by a signal."""

import shlex
import subprocess
import sys
from collections.abc import Callable

from tools import ending
from tools.errors import ToolError


def enter(action: Callable[[], object]) -> int:
    """Run the action and return the process' exit code; Ctrl-C, SIGTERM and SIGHUP unwind it."""
    ending.listen()
    try:
        action()
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: {_explain(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _explain(error: subprocess.CalledProcessError) -> str:
    """Return what a command that failed had printed, which was caught with it."""
    printed = error.stderr or b""
    text = printed if isinstance(printed, str) else printed.decode(errors="replace")
    return f"{shlex.join(map(str, error.cmd))} ended with {error.returncode}: {text.strip() or 'it printed nothing'}"

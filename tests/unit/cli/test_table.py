import io
from dataclasses import replace

import pytest

from tests.unit.cli.examples import compiled
from virtwatch_agent.observations import Domain, DomainState
from virtwatch_cli.table import format_table, width_of
from virtwatch_cli.watch.text import TextScreen
from virtwatch_cli.watch.watched import Watched

WIDE = "\u4ed3\u5e93"  # two characters, four columns


@pytest.mark.parametrize(("text", "width"), [("web-1", 5), (WIDE, 4), ("e\u0301", 1), ("\uff21", 2), ("\u00e9", 1)])
def test_a_text_is_as_wide_as_a_terminal_shows_it(text: str, width: int) -> None:
    assert width_of(text) == width


def test_columns_stand_in_line_after_wide_characters() -> None:
    assert format_table(("VM", "STATE"), [(WIDE, "on"), ("web", "off")]) == f"VM    STATE\n{WIDE}  on\nweb   off"


def test_a_wide_cell_is_cut_to_its_columns() -> None:
    assert format_table(("VM",), [(WIDE * 5,)], width=10) == f"VM\n{WIDE * 2}…"


def test_watch_lines_up_vms_with_wide_names() -> None:
    out = io.StringIO()
    domains = {name: Domain(name, name, "c", "1", DomainState.RUNNING) for name in (WIDE, "web")}
    TextScreen(out, {}).overview(replace(Watched("n", ("c",), (compiled("cpu"),)), domains=domains))
    assert out.getvalue().splitlines()[-4:-1] == ["VM    STATE    RULES", "web   running  cpu", f"{WIDE}  running  cpu"]

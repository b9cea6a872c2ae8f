import pytest

from lab.guest import read_request
from tools.errors import ToolError


class Asked:
    def __init__(self) -> None:
        self.of: list[object] = []

    def busy(self, **loads: bool) -> None:
        self.of.append(loads)

    def calm(self, *loads: str) -> None:
        self.of.append(loads)


@pytest.mark.parametrize(
    ("request_", "asked"), [(["cpu", "on"], {"cpu": True}), (["net", "off"], ("net",)), ([], None), (["state"], None)]
)
def test_a_request_becomes_a_deed(request_: list[str], asked: object) -> None:
    guest = Asked()
    read_request(request_)(guest)
    assert guest.of == ([asked] if asked is not None else [])


@pytest.mark.parametrize("request_", [["dance"], ["cpu"], ["cpu", "maybe"], ["fill", "on"]])
def test_an_unknown_request_is_answered_with_those_that_are_known(request_: list[str]) -> None:
    with pytest.raises(ToolError, match=r"it knows cpu on\|off, .* fill, .* and state"):
        read_request(request_)

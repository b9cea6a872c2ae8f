"""A NetworkAttachmentDefinition is asked for seldom once it was read; what was read is kept while it cannot be."""

import json

import pytest

from virtwatch_agent.collect.network.definitions import AGAIN_S, FORBIDDEN_RETRY_S, RETRY_S, Definitions, bridge_of
from virtwatch_kube.errors import Forbidden, NotFound, Unavailable

LAN, SRIOV = ("shop", "lan"), ("shop", "sriov")
DAY_S = 86_400.0


def definition(**config):
    return {"spec": {"config": json.dumps(config)}}


@pytest.mark.parametrize(
    ("document", "bridge"),
    [
        (definition(type="bridge", bridge="br1"), "br1"),
        (definition(name="lan", plugins=[{"type": "cnv-bridge", "bridge": "br1"}, {"type": "tuning"}]), "br1"),
        (definition(type="ovn-k8s-cni-overlay"), ""),
        (definition(type="bridge", bridge="../../etc"), ""),
        (definition(type="bridge"), ""),
        ({"spec": {"config": "no JSON"}}, ""),
        ({"spec": {}}, ""),
        (None, ""),
    ],
)
def test_a_definition_names_the_bridge_that_it_uses(document, bridge):
    assert bridge_of(document) == bridge


class Server:
    """Answer for definitions by name: with a document, or with an error."""

    def __init__(self, **answers) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def get(self, path: str):
        name = path.rpartition("/")[2]
        self.asked.append(name)
        if isinstance(answer := self.answers[name], Exception):
            raise answer
        return answer


def reading(server: Server, *attachments) -> Definitions:
    definitions = Definitions(server)
    definitions.want(frozenset(attachments))
    return definitions


def ask_until(definitions: Definitions, begin: float, end: float, step: float = 10.0) -> None:
    for tick in range(int((end - begin) / step)):
        definitions.ask(begin + tick * step)


def test_one_without_a_bridge_is_asked_for_as_seldom_as_others():
    server = Server(lan=definition(type="bridge", bridge="br1"), sriov=definition(type="sriov"))
    definitions = reading(server, LAN, SRIOV)
    ask_until(definitions, 0.0, DAY_S)

    assert definitions.known == {LAN: "br1", SRIOV: ""}
    for name in ("lan", "sriov"):
        assert DAY_S / AGAIN_S[1] - 1 <= server.asked.count(name) <= DAY_S / AGAIN_S[0]


def test_what_users_edit_is_read_within_half_an_hour():
    server = Server(lan=definition(type="bridge", bridge="br1"))
    definitions = reading(server, LAN)
    definitions.ask(0.0)
    server.answers["lan"] = definition(type="bridge", bridge="br2")
    ask_until(definitions, 10.0, AGAIN_S[1] + 20.0)

    assert definitions.known == {LAN: "br2"}


@pytest.mark.parametrize("error", [NotFound("none"), Unavailable("no answer"), Forbidden("may not")])
def test_what_was_read_is_kept_while_it_cannot_be_read(error):
    server = Server(lan=definition(type="bridge", bridge="br1"))
    definitions = reading(server, LAN)
    definitions.ask(0.0)
    server.answers["lan"] = error
    ask_until(definitions, 10.0, DAY_S)

    assert len(server.asked) > 1
    assert definitions.known == {LAN: "br1"}


@pytest.mark.parametrize(
    ("error", "pause"), [(Forbidden("may not"), FORBIDDEN_RETRY_S), (Unavailable("no answer"), RETRY_S)]
)
def test_after_a_refusal_nothing_is_asked_for_a_while(error, pause, caplog):
    server = Server(lan=error, sriov=error)
    definitions = reading(server, LAN, SRIOV)
    ask_until(definitions, 0.0, pause)

    assert server.asked == ["lan"]
    server.answers = {"lan": definition(type="bridge", bridge="br1"), "sriov": error}
    ask_until(definitions, pause, 4 * pause)
    assert definitions.known == {LAN: "br1"}
    assert caplog.text.count("not watched") == isinstance(error, Forbidden)


def test_one_that_does_not_exist_delays_no_other():
    server = Server(lan=NotFound("none"), sriov=definition(type="sriov"))
    definitions = reading(server, LAN, SRIOV)
    definitions.ask(0.0)
    definitions.ask(0.0)
    server.answers["lan"] = definition(type="bridge", bridge="br1")
    definitions.ask(RETRY_S)

    assert definitions.known == {LAN: "br1", SRIOV: ""}


def test_one_that_no_vm_uses_any_more_is_forgotten():
    definitions = reading(Server(lan=definition(type="bridge", bridge="br1")), LAN)
    definitions.ask(0.0)
    definitions.want(frozenset())
    definitions.ask(DAY_S)

    assert definitions.known == {}

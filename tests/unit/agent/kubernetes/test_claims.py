"""Each claim is asked for once; one that may not be read is said once and asked for seldom."""

import threading

import pytest

from virtwatch_agent.kubernetes import claims
from virtwatch_agent.kubernetes.claims import StorageClasses
from virtwatch_kube.errors import Forbidden, NotFound, Unavailable

DATA, ROOT = ("shop", "data"), ("shop", "root")
DEADLINE_S = 30.0


class Server:
    """Answer for claims by name: with a class, or with an error."""

    def __init__(self, **answers) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def get(self, path: str):
        name = path.rpartition("/")[2]
        self.asked.append(path)
        answer = self.answers[name]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return {"spec": {"storageClassName": answer} if answer is not None else {}}


class Asked:
    def __init__(self, server: Server) -> None:
        self._changed = threading.Condition()
        self.classes = StorageClasses(server, self._notify)
        self.classes.start()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify()

    def wait(self, known) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.classes.known == known, DEADLINE_S), self.classes.known


@pytest.fixture
def ask():
    asked: list[Asked] = []

    def begin(server: Server) -> Asked:
        asked.append(Asked(server))
        return asked[-1]

    yield begin
    for one in asked:
        one.classes.stop(DEADLINE_S)


def test_a_claim_is_asked_for_once_and_forgotten_with_its_vm(ask):
    server = Server(data="fast", root=None)
    asked = ask(server)
    asked.classes.want(frozenset({DATA}))
    asked.wait({DATA: "fast"})
    asked.classes.want(frozenset({DATA, ROOT}))
    asked.wait({DATA: "fast", ROOT: ""})
    asked.classes.want(frozenset({ROOT}))

    assert asked.classes.known == {ROOT: ""}
    assert server.asked == [f"/api/v1/namespaces/shop/persistentvolumeclaims/{name}" for name in ("data", "root")]


@pytest.mark.parametrize("error", [NotFound("no such claim"), Unavailable("no answer")])
def test_a_claim_that_comes_later_is_asked_for_again(ask, monkeypatch, error):
    monkeypatch.setattr(claims, "RETRY_S", 0.02)
    asked = ask(Server(data=[error, "fast"]))
    asked.classes.want(frozenset({DATA}))

    asked.wait({DATA: "fast"})


def test_one_that_may_read_no_claims_says_so_once(ask, monkeypatch, caplog):
    monkeypatch.setattr(claims, "FORBIDDEN_RETRY_S", 0.02)
    refused = Forbidden("may not get persistentvolumeclaims")
    asked = ask(Server(data=[refused, refused, "fast"], root="slow"))
    asked.classes.want(frozenset({DATA, ROOT}))

    asked.wait({DATA: "fast", ROOT: "slow"})
    assert caplog.text.count("stay unknown") == 1

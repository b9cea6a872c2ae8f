import pytest

from tests.unit.operator.builders import AT, POLICY, TRUSTING, applied, firing, status, transition
from virtwatch_api.nodemonitor import Counts
from virtwatch_api.nodemonitor_codec import encode_status, format_time
from virtwatch_operator.fleet import SILENT_AFTER_S, Fleet


class Heard:
    def __init__(self):
        self.now = AT
        self.waiting, self.reported, self.presence_changes = [], [], 0
        self.fleet = Fleet(
            trust=TRUSTING,
            down=lambda node: False,
            waiting=self.waiting.append,
            reported=self.reported.append,
            presence_changed=self._presence,
            clock=lambda: self.now,
        )

    def _presence(self):
        self.presence_changes += 1


@pytest.fixture
def heard():
    return Heard()


def document(status_, *, node="n1", written=AT):
    note = {"manager": "agent", "subresource": "status", "time": format_time(written)[:19] + "Z"}
    return {
        "metadata": {"name": node, "uid": f"uid-{node}", "managedFields": [note]},
        **({"status": encode_status(status_)} if status_ else {}),
    }


def test_a_node_with_transitions_waits_and_its_policies_are_rolled_up(heard):
    heard.fleet.on_change(None, document(status(transition(), firing=(firing(),), applied=(applied(),))))
    assert heard.waiting == ["n1"]
    assert heard.reported == [POLICY]
    report = heard.fleet.reports(POLICY)["n1"]
    assert report.applied == applied()
    assert report.firing == (firing(),)


def test_a_policy_is_rolled_up_only_when_a_node_says_something_new_of_it(heard):
    old = document(status(applied=(applied(),)))
    heard.fleet.on_change(None, old)
    heard.fleet.on_change(old, document(status(transition(), applied=(applied(),))))
    assert heard.reported == [POLICY]
    heard.fleet.on_change(old, document(status(applied=(applied(counts=Counts(1)),))))
    assert heard.reported == [POLICY, POLICY]


def test_a_node_that_is_gone_reports_no_more(heard):
    old = document(status(applied=(applied(),)))
    heard.fleet.on_change(None, old)
    heard.fleet.on_change(old, None)
    assert heard.fleet.reports(POLICY) == {}
    assert not heard.fleet.known("n1")
    assert heard.fleet.presence.reporting == frozenset()
    assert heard.reported == [POLICY, POLICY]


def test_a_node_falls_silent_without_a_sound_and_comes_back(heard):
    old = document(status())
    heard.fleet.on_change(None, old)
    heard.fleet.on_change(None, document(None, node="never-spoke"))
    heard.fleet.notice_presence()
    assert heard.fleet.presence.reporting == {"n1"}
    heard.now += SILENT_AFTER_S + 5
    heard.fleet.notice_presence()
    heard.fleet.notice_presence()
    assert heard.fleet.presence.silent == {"n1"}
    assert heard.presence_changes == 2
    heard.fleet.on_change(old, document(status(), written=heard.now))
    assert heard.fleet.presence.reporting == {"n1"}


def test_what_one_node_says_in_a_foreign_version_harms_nobody(heard, caplog):
    heard.fleet.on_change(None, document(status(applied=(applied(),)), node="good"))
    strange = document(status(transition()), node="strange")
    strange["status"]["transitions"][0]["action"] = "Exploded"
    heard.fleet.on_change(None, strange)
    heard.fleet.on_change(strange, strange)
    assert heard.waiting == []
    assert heard.fleet.monitor("strange") is None
    assert heard.fleet.known("strange")
    assert heard.fleet.presence.reporting == {"good"}
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "NodeMonitor strange cannot be read, so it is skipped"
    ]

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.agent_core.scripted import BUSY, PAUSED, UUID, Agent, domain, judging, policy
from virtwatch_agent.journal.codec import decode_alert
from virtwatch_agent.journal.store import Batch, Journal
from virtwatch_agent.observations import (
    Appeared,
    Cloned,
    ConnectionState,
    Domain,
    DomainState,
    Glimpse,
    IdentitiesChanged,
    KubernetesIdentity,
    Rejected,
    Sample,
    TargetEvent,
    ThresholdsChanged,
    Unwatched,
    Vanished,
)
from virtwatch_api.alert import Action, Reason
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.nodemonitor import NodeStatus
from virtwatch_api.policy import Severity
from virtwatch_api.targets import vm_ref

IN_A_POD = Domain(UUID, "shop_db-1", "test", "1", DomainState.RUNNING, pod_uid="pod-1")
SHOP_DB = KubernetesIdentity("shop", "db-1", "vmi-1", ("pod-1",), {}, {})


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    started = Agent(tmp_path)
    yield started
    started.core.stop()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def actions(status: NodeStatus) -> list[Action]:
    return [item.action for item in status.transitions]


def condition(status: NodeStatus, name: str) -> tuple[bool | None, str]:
    found = next(item for item in status.conditions if item.type == name)
    return found.status, found.message


def test_a_breach_becomes_a_transition_and_a_firing_alert(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(50, 150)

    status = agent.until(lambda status: bool(status.firing))

    assert actions(status) == [Action.FIRED]
    assert status.transitions[0].sequence == 1
    assert status.firing[0].severity is Severity.WARNING
    assert status.firing[0].evidence.text == "vm.memory.rss is 150 B, above 100 B"
    assert status.counts.warning == 1
    assert status.applied[0].virtual_machines == 1


def test_a_vms_new_state_and_what_led_to_it_are_written_in_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The shortest turns that there are: what can be torn apart is.
    monkeypatch.setattr("virtwatch_agent.core.core._BATCH", 1)
    written: list[Batch] = []
    commit = Journal.commit
    monkeypatch.setattr(Journal, "commit", lambda self, batch: (written.append(batch), commit(self, batch))[1])
    agent = Agent(tmp_path)
    agent.judge_by(policy(PAUSED)).appear()
    turns = 100 * [("vm.paused", DomainState.PAUSED), ("vm.resumed", DomainState.RUNNING)]
    for type_, state in turns:
        now = agent.clock.time()
        agent.core.deliver(Appeared(domain(state=state), now), TargetEvent(type_, vm_ref(UUID), now))
    agent.until(lambda status: status.sequence == len(turns))
    agent.core.stop()

    # Whichever of them is the last before a kill: the state on disk is the one that the alert on disk belongs to.
    state_of = {Action.FIRED: DomainState.PAUSED, Action.RESOLVED: DomainState.RUNNING}
    turned = [batch for batch in written if batch.transitions]
    assert [batch.domains[UUID].domain.state for batch in turned] == [
        state_of[batch.transitions[-1].action] for batch in turned
    ]
    assert {item.domain.state for batch in written if not batch.transitions for item in batch.domains.values()} <= {
        DomainState.RUNNING
    }


def test_what_is_acknowledged_leaves_the_journal(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150, 50)
    epoch = agent.until(lambda status: len(status.transitions) == 2).epoch

    agent.acknowledge(epoch, 1)
    status = agent.until(lambda status: len(status.transitions) == 1)

    assert actions(status) == [Action.RESOLVED]


def test_an_acknowledgement_of_another_epoch_means_nothing(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    agent.until(lambda status: bool(status.transitions))

    agent.acknowledge("another", 1).see(50)
    status = agent.until(lambda status: len(status.transitions) == 2)

    assert actions(status) == [Action.FIRED, Action.RESOLVED]


def test_an_alert_survives_a_restart_with_its_since_and_fires_once(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    before = agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.judge_by(policy(BUSY)).appear().see(160, 170)
    after = agent.until(lambda status: bool(status.firing) and status.virtual_machines == 1)

    assert after.epoch == before.epoch
    assert after.firing[0].since == before.firing[0].since
    assert actions(after) == [Action.FIRED]
    agent.see(50)
    assert actions(agent.until(lambda status: not status.firing)) == [Action.FIRED, Action.RESOLVED]


def test_a_restored_alert_is_reported_before_the_policies_are_known(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    agent.until(lambda status: bool(status.firing))

    agent.restart()

    assert condition(agent.until(lambda status: bool(status.firing)), "Ready")[0] is False


def test_a_rule_deleted_during_a_restart_resolves_its_alert(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.judge_by(policy(PAUSED)).appear()
    status = agent.until(lambda status: not status.firing)

    assert status.transitions[-1].reason is Reason.POLICY_CHANGED


def test_a_deleted_policy_resolves_its_alerts_and_says_why(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    agent.until(lambda status: bool(status.firing))

    agent.judge_by()
    status = agent.until(lambda status: not status.firing)

    assert status.transitions[-1].reason is Reason.POLICY_DELETED


def test_an_edit_that_does_not_touch_the_rule_keeps_its_alert(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    since = agent.until(lambda status: bool(status.firing)).firing[0].since

    agent.judge_by(policy(BUSY, PAUSED)).see(150)
    status = agent.until(lambda status: status.applied[0].hash == policy(BUSY, PAUSED).hash)

    assert actions(status) == [Action.FIRED]
    assert status.firing[0].since == since


def test_an_event_fires_and_another_resolves(agent: Agent) -> None:
    agent.judge_by(policy(PAUSED)).appear().hear("vm.paused", reason="user").hear("vm.resumed")

    status = agent.until(lambda status: len(status.transitions) == 2)

    assert actions(status) == [Action.FIRED, Action.RESOLVED]
    assert status.transitions[0].evidence.text == "vm.paused (reason user)"


def test_a_resume_while_the_agent_was_down_is_inferred(agent: Agent) -> None:
    agent.judge_by(policy(PAUSED)).appear(state=DomainState.PAUSED).hear("vm.paused", reason="user")
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.judge_by(policy(PAUSED)).appear(state=DomainState.RUNNING)
    status = agent.until(lambda status: len(status.transitions) == 2)

    assert status.transitions[1].evidence.text == "vm.resumed, found after a gap"


def test_a_pause_while_the_agent_was_down_matches_a_rule_that_names_its_reason(agent: Agent) -> None:
    watchdog = {"name": "hung", "severity": "Critical", "event": {"type": "vm.paused", "where": {"reason": "watchdog"}}}
    agent.judge_by(policy(watchdog)).appear()
    agent.until(lambda status: status.virtual_machines == 1)

    agent.restart()
    agent.judge_by(policy(watchdog)).say(Appeared(domain(state=DomainState.PAUSED), time.time(), "watchdog"))
    status = agent.until(lambda status: bool(status.firing))

    assert status.transitions[0].evidence.text == "vm.paused (reason watchdog), found after a gap"


def test_the_source_of_a_migration_is_not_taken_for_paused_after_a_restart(agent: Agent) -> None:
    agent.judge_by(policy(PAUSED)).appear()
    agent.until(lambda status: status.virtual_machines == 1)

    agent.restart()
    agent.judge_by(policy(PAUSED, BUSY)).say(Appeared(domain(state=DomainState.PAUSED), time.time(), "postcopy")).see(
        150
    )
    status = agent.until(lambda status: bool(status.transitions))

    assert [item.alert.rule for item in status.transitions] == ["busy"]


def test_a_vm_that_came_in_while_the_agent_was_down_is_not_judged_before_its_alerts_can_be_here(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear(state=DomainState.PAUSED)
    agent.until(lambda status: status.virtual_machines == 1)

    agent.restart()
    agent.judge_by(policy(BUSY, PAUSED)).say(Appeared(domain(), time.time(), "migrated")).see(150)
    agent.hear("vm.paused", reason="user")
    status = agent.until(lambda status: bool(status.transitions))

    assert [item.alert.rule for item in status.transitions] == ["paused"]


def test_a_stopped_vm_ends_its_threshold_alerts_but_not_the_crash_that_stopped_it(agent: Agent) -> None:
    crash = {"name": "crash", "severity": "Critical", "event": {"type": "vm.crashed", "resolveOn": ["vm.started"]}}
    agent.judge_by(policy(BUSY, crash)).appear().see(150).hear("vm.crashed", reason="failed")
    agent.until(lambda status: len(status.firing) == 2)

    agent.say(Vanished(UUID, 1.0, "crashed"))
    status = agent.until(lambda status: len(status.firing) == 1)

    assert status.firing[0].alert.rule == "crash"
    assert status.transitions[-1].reason is Reason.DOMAIN_STOPPED
    agent.appear(incarnation="2").hear("vm.started", reason="booted")
    assert not agent.until(lambda status: not status.firing).firing


def test_observe_counts_what_would_have_fired_and_alerts_nobody(agent: Agent) -> None:
    agent.judge_by(policy(BUSY, enforcement="Observe")).appear().see(150, 50, 150)

    status = agent.until(lambda status: bool(status.applied) and status.applied[0].would_have_fired == 2)

    assert status.transitions == ()
    assert status.firing == ()


def test_enforcing_an_observed_policy_fires_what_is_in_breach(agent: Agent) -> None:
    agent.judge_by(policy(BUSY, enforcement="Observe")).appear().see(150)
    agent.until(lambda status: bool(status.applied) and status.applied[0].would_have_fired == 1)

    agent.judge_by(policy(BUSY)).see(150)

    assert actions(agent.until(lambda status: bool(status.firing))) == [Action.FIRED]


def test_the_collector_is_asked_for_what_the_rules_need_and_no_more(agent: Agent) -> None:
    disk = {"name": "slow", "threshold": {"signal": "vm.disk.write.latency", "warning": {"above": "10ms"}}}
    agent.judge_by(policy(disk, collection={"interval": "5s"})).appear()
    agent.until(lambda status: bool(status.applied) and status.applied[0].virtual_machines == 1)

    assert agent.outside.plans[vm_ref(UUID)] == {Source.KERNEL: 15.0, Source.BLOCK: 5.0}


def test_jobs_are_looked_for_only_as_long_as_a_rule_needs_their_starts(agent: Agent) -> None:
    many = {"count": {"type": "vm.backup_started", "by": "Node", "atLeast": 5}, "within": "1h"}
    agent.appear().judge_by(policy(BUSY, {"name": "many", "severity": "Warning", "pattern": many}))
    agent.until(lambda _: Source.BLOCK_JOBS in agent.outside.plans.get(vm_ref(UUID), {}))

    agent.judge_by(policy(BUSY))
    agent.until(lambda _: Source.BLOCK_JOBS not in agent.outside.plans[vm_ref(UUID)])


def test_what_was_until_a_glimpse_is_judged_before_the_look_that_it_led_to(agent: Agent) -> None:
    busy = {"name": "busy", "threshold": {"signal": "vm.cpu.utilization", "warning": {"above": "90%"}}}
    agent.appear().judge_by(policy(busy))
    clock, now = time.monotonic(), time.time()
    for ago, used, before in ((4.0, 0.0, None), (0.0, 3.0, Glimpse(clock - 1.0, {("cpu.time", "0"): 3.0}))):
        at = now - ago
        values = {("cpu.time", "0"): used}
        agent.say(Sample(vm_ref(UUID), Source.KERNEL, "1", at, at, clock - ago, values, before=before))

    agent.until(lambda _: len(agent.outside.spans) == 2)
    assert [span.action for span in agent.outside.spans] == [Action.FIRED, Action.RESOLVED]


def test_nothing_is_collected_of_a_vm_that_is_gone(agent: Agent) -> None:
    ref = vm_ref(UUID)
    agent.appear().judge_by(policy(BUSY))
    agent.until(lambda _: bool(agent.outside.plans.get(ref)))

    agent.say(Vanished(UUID, time.time(), "shutdown"))

    agent.until(lambda _: agent.outside.plans[ref] == {} == agent.outside.glanced[ref])


def test_an_unreadable_thresholdset_leaves_the_last_one_in_force_and_says_so(agent: Agent) -> None:
    good = policy(BUSY)
    agent.judge_by(good).appear()
    agent.say(ThresholdsChanged((), (Rejected(good.policy, "new", "spec.rules: unknown rule kind; upgrade"),)))
    agent.see(150)

    status = agent.until(lambda status: bool(status.firing))

    assert [(item.hash, item.rejected, item.counts.warning) for item in status.applied] == [
        (good.hash, "spec.rules: unknown rule kind; upgrade", 1)
    ]


def test_the_alert_of_a_policy_that_became_unreadable_during_a_restart_does_not_end_as_deleted(agent: Agent) -> None:
    good = policy(BUSY)
    agent.judge_by(good).appear().see(150)
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.say(ThresholdsChanged((), (Rejected(good.policy, "new", "spec.rules: unknown rule kind; upgrade"),)))
    status = agent.until(lambda status: not status.firing)

    assert status.transitions[-1].reason is Reason.POLICY_CHANGED


def test_a_stuck_vm_is_a_named_blind_spot_until_it_recovers(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().hear("vm.telemetry_stuck", reason="a monitor call has been pending for 9 s")
    status = agent.until(lambda status: condition(status, "Collecting")[0] is False)

    assert condition(status, "Collecting")[1] == "VM db-1: a monitor call has been pending for 9 s"
    agent.hear("vm.telemetry_recovered")
    agent.until(lambda status: condition(status, "Collecting")[0] is True)


def test_a_stuck_vm_that_gets_its_name_while_it_is_stuck_is_no_blind_spot_once_it_recovers(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).say(Appeared(IN_A_POD, 1.0)).hear("vm.telemetry_stuck", reason="no answer for 9 s")
    agent.until(lambda status: condition(status, "Collecting")[0] is False)

    agent.say(IdentitiesChanged((SHOP_DB,))).hear("vm.telemetry_recovered")

    agent.until(lambda status: condition(status, "Collecting")[0] is True)


LOST = {"name": "lost", "severity": "Warning", "event": {"type": "libvirt.lost", "resolveOn": ["libvirt.restored"]}}


def test_a_vm_that_cannot_be_watched_is_named_and_its_connection_is_not_lost(agent: Agent) -> None:
    agent.judge_by(policy(LOST)).appear().say(Unwatched("other", "test", 1.0, "VM web has the domain UUID of db."))
    status = agent.until(lambda status: condition(status, "Collecting")[0] is False)
    assert condition(status, "Collecting")[1] == "VM web has the domain UUID of db."

    agent.say(ConnectionState("test", 2.0, "it was lost"), ConnectionState("test", 3.0)).hear("vm.telemetry_stuck")
    status = agent.until(lambda status: "VM db-1" in condition(status, "Collecting")[1])
    assert "VM web has the domain UUID of db." in condition(status, "Collecting")[1]
    assert actions(status) == [Action.FIRED, Action.RESOLVED]  # by the loss of the connection alone

    agent.hear("vm.telemetry_recovered").say(Unwatched("other", "test", 4.0))
    agent.until(lambda status: condition(status, "Collecting")[0] is True)


def test_a_vm_of_a_pod_is_judged_after_a_restart_before_the_api_server_answers(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).say(Appeared(IN_A_POD, 1.0), IdentitiesChanged((SHOP_DB,))).see(50)
    agent.until(lambda status: bool(status.applied) and status.applied[0].virtual_machines == 1)

    agent.restart()
    agent.judge_by(policy(BUSY))
    agent.until(judging)
    agent.say(Appeared(IN_A_POD, 2.0)).see(150)
    status = agent.until(lambda status: bool(status.firing))

    assert str(status.firing[0].subject) == "shop/db-1"


def test_a_vm_made_again_in_a_new_pod_is_judged_by_its_own_policies_under_its_own_name(agent: Agent) -> None:
    agent.judge_by(policy(PAUSED)).say(Appeared(IN_A_POD, 1.0), IdentitiesChanged((SHOP_DB,)))
    agent.hear("vm.paused", reason="user")
    agent.until(lambda status: bool(status.firing))

    again = replace(IN_A_POD, incarnation="2", pod_uid="pod-2")
    agent.say(Vanished(UUID, time.time(), "destroyed"), Appeared(again, time.time())).hear("vm.resumed")
    agent.say(IdentitiesChanged((replace(SHOP_DB, vmi_uid="vmi-2", pod_uids=("pod-2",)),)))
    status = agent.until(lambda status: not status.firing)

    assert status.transitions[-1].subject.uid == "vmi-2"


def test_policies_that_are_gone_are_not_counted_for(agent: Agent) -> None:
    agent.judge_by(policy(BUSY, enforcement="Observe")).appear().see(150)
    agent.until(lambda status: bool(status.applied) and status.applied[0].would_have_fired == 1)

    agent.judge_by()
    agent.until(lambda status: not status.applied)
    agent.judge_by(policy(BUSY, enforcement="Observe"))

    assert agent.until(lambda status: bool(status.applied)).applied[0].would_have_fired == 0


def test_the_alert_of_a_vm_that_went_during_a_restart_ends_though_policies_come_later(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    agent.until(lambda status: bool(status.firing))

    agent.restart()
    agent.say(Vanished(UUID, 2.0, "lost")).judge_by(policy(BUSY))
    status = agent.until(lambda status: not status.firing)

    assert status.transitions[-1].reason is Reason.DOMAIN_STOPPED


def test_a_state_folder_that_went_back_in_time_begins_a_new_epoch(agent: Agent) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    old = agent.until(lambda status: bool(status.firing))

    agent.acknowledge(old.epoch, 7)
    status = agent.until(lambda status: status.epoch != old.epoch)

    assert [item.sequence for item in status.transitions] == [1]


def test_a_lost_state_folder_begins_a_new_epoch(agent: Agent, tmp_path: Path) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    old = agent.until(lambda status: bool(status.firing))

    agent.restart(tmp_path / "fresh")
    agent.judge_by(policy(BUSY)).appear().see(150)

    assert agent.until(lambda status: bool(status.firing)).epoch != old.epoch


def test_a_broken_journal_is_put_aside_and_a_new_epoch_begins(
    agent: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent.core.stop()
    for leftover in tmp_path.glob("journal.db*"):
        leftover.unlink()
    (tmp_path / "journal.db").write_bytes(b"not a database, but long enough to look like one" * 100)

    agent.restart()
    agent.judge_by(policy(BUSY)).appear().see(150)

    assert actions(agent.until(lambda status: bool(status.firing))) == [Action.FIRED]
    assert list(tmp_path.glob("journal.broken-*"))
    assert "is no journal" in caplog.text


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_rule_that_waits_goes_on_waiting_though_the_clock_is_set_also_after_a_restart(
    agent: Agent, step: float
) -> None:
    waits = {**BUSY, "threshold": {**BUSY["threshold"], "for": "10m"}}
    agent.judge_by(policy(waits, PAUSED)).appear().see(150)
    agent.until(lambda status: status.counts.pending == 1)
    since, before = waits_since_on_disk(agent), time.time()

    agent.clock.ahead = step
    wait_for(lambda: waits_since_on_disk(agent) == pytest.approx(since + step, abs=1.0))
    agent.say(Sample(vm_ref(UUID), Source.KERNEL, "1", before, before, time.monotonic(), {("memory.rss", ""): 150}))
    agent.see(150).hear("vm.paused", reason="user")
    status = agent.until(lambda status: bool(status.firing))
    assert ([item.alert.rule for item in status.firing], status.counts.pending) == (["paused"], 1)

    agent.restart()
    agent.judge_by(policy(waits, PAUSED)).appear().see(150)
    status = agent.until(lambda status: status.virtual_machines == 1 and status.counts.pending == 1)
    assert [item.alert.rule for item in status.firing] == ["paused"]


def waits_since_on_disk(agent: Agent) -> float:
    with closing(sqlite3.connect(f"file:{agent.folder}/journal.db?mode=ro", uri=True)) as database:
        records = [decode_alert(body) for (body,) in database.execute("SELECT body FROM alerts")]
    (since,) = [record.state.warning_since for record in records]
    assert since is not None
    return since


def test_a_second_agent_waits_for_the_state_folder_and_then_goes_on_where_the_first_one_ended(
    agent: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    before = agent.until(lambda status: bool(status.firing))

    second = Agent(tmp_path)
    try:
        second.judge_by(policy(BUSY)).appear().see(160)
        agent.see(170).hear("vm.paused", reason="user")
        wait_for(lambda: second.core.waiting)
        assert second.core.waiting.startswith(f"The state folder {tmp_path} is used by another process: ")
        assert not second.core.ready
        assert second.outside.statuses == []

        agent.core.stop()
        status = second.until(lambda status: status.virtual_machines == 1)

        assert (second.core.waiting, status.epoch) == ("", before.epoch)
        assert actions(status) == [Action.FIRED]
        assert status.firing[0].since == before.firing[0].since
        assert len([record for record in caplog.records if "is used by" in record.message]) == 1
    finally:
        second.core.stop()


def test_an_agent_that_waits_for_the_state_folder_ends_when_it_shall_and_leaves_the_folder_alone(
    agent: Agent, tmp_path: Path
) -> None:
    agent.judge_by(policy(BUSY)).appear().see(150)
    agent.until(lambda status: bool(status.firing))
    second = Agent(tmp_path)
    second.judge_by(policy(PAUSED)).appear()
    wait_for(lambda: second.core.waiting)

    second.core.stop()

    agent.restart()
    agent.judge_by(policy(BUSY)).appear().see(150)
    status = agent.until(lambda status: status.virtual_machines == 1)
    assert actions(status) == [Action.FIRED]
    assert len(status.firing) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_once_and_everything_goes_on_and_is_written_later(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(small_disk)
    try:
        agent.judge_by(policy(BUSY)).appear().see(50)
        agent.until(lambda status: status.virtual_machines == 1)
        filler = small_disk / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1k"], check=False, capture_output=True)

        agent.see(*[150, 50] * 20)
        status = agent.until(lambda status: status.sequence == 40)
        assert condition(status, "Journaling")[0] is False
        assert "free space" in condition(status, "Journaling")[1]
        assert len([record for record in caplog.records if "cannot write" in record.message]) == 1

        filler.unlink()
        agent.until(lambda status: condition(status, "Journaling")[0] is True)
        agent.restart()
        status = agent.until(lambda status: status.sequence == 40)
        assert len(status.transitions) + status.waiting == 40
    finally:
        agent.core.stop()


def test_a_defect_that_every_observation_meets_is_told_once_and_the_others_are_judged(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Sample(vm_ref("other"), Source.KERNEL, "1", 1.0, 1.0, 1.0, None)  # type: ignore[arg-type]
    agent.judge_by(policy(BUSY)).appear()
    agent.say(Appeared(Domain("other", "db-2", "test", "1", DomainState.RUNNING), 1.0))

    agent.say(*[replace(broken, clock=float(clock)) for clock in range(50)]).see(150)

    assert agent.until(lambda status: bool(status.firing)).agent.errors == 50
    assert len([record for record in caplog.records if "could not be judged" in record.message]) == 1


def test_a_clone_is_reported_of_its_source_and_of_no_other_vm(agent: Agent) -> None:
    cloned = {"name": "cloned", "severity": "Warning", "event": {"type": "vm.cloned", "where": {"clone": "db-2"}}}
    other = Domain("0" * 32, "shop_db-9", "test", "1", DomainState.RUNNING, pod_uid="pod-9")
    named = (SHOP_DB, replace(SHOP_DB, name="db-9", vmi_uid="vmi-9", pod_uids=("pod-9",)))
    agent.judge_by(policy(cloned)).say(Appeared(IN_A_POD, 1.0), Appeared(other, 1.0), IdentitiesChanged(named))

    agent.say(
        Cloned("shop", "db-1", "db-1-copy", time.time()),
        Cloned("bank", "db-1", "db-2", time.time()),
        Cloned("shop", "db-1", "db-2", time.time()),
    )

    status = agent.until(lambda status: bool(status.transitions))
    assert [item.subject.name for item in status.transitions] == ["db-1"]

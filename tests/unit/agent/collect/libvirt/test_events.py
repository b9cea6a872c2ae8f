# The tables against libvirt's own numbers: a word in the wrong place would name the wrong cause.
import libvirt
import pytest

from virtwatch_agent.collect.libvirt import events
from virtwatch_agent.collect.libvirt.domain_tracker import LOST
from virtwatch_agent.collect.libvirt.events import (
    IoErrorEvent,
    LifecycleEvent,
    Turn,
    WatchdogEvent,
    io_error,
    lifecycle,
    listed_state,
    watchdog,
)
from virtwatch_agent.inventory import gaps
from virtwatch_agent.observations import DomainState
from virtwatch_api.catalogue.events import EVENT

L = libvirt


@pytest.mark.parametrize(
    ("event", "detail", "turn", "reason"),
    [
        (L.VIR_DOMAIN_EVENT_STARTED, L.VIR_DOMAIN_EVENT_STARTED_BOOTED, Turn.STARTED, "booted"),
        (L.VIR_DOMAIN_EVENT_STARTED, L.VIR_DOMAIN_EVENT_STARTED_MIGRATED, Turn.STARTED, "migrated"),
        (L.VIR_DOMAIN_EVENT_STARTED, L.VIR_DOMAIN_EVENT_STARTED_RESTORED, Turn.STARTED, "restored"),
        (L.VIR_DOMAIN_EVENT_STARTED, L.VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT, Turn.STARTED, "snapshot"),
        (L.VIR_DOMAIN_EVENT_STARTED, L.VIR_DOMAIN_EVENT_STARTED_WAKEUP, Turn.RESUMED, "wakeup"),
        (L.VIR_DOMAIN_EVENT_SUSPENDED, L.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED, Turn.PAUSED, "user"),
        (L.VIR_DOMAIN_EVENT_SUSPENDED, L.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED, Turn.PAUSED, "migration"),
        (L.VIR_DOMAIN_EVENT_SUSPENDED, L.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, Turn.PAUSED, "ioerror"),
        (L.VIR_DOMAIN_EVENT_SUSPENDED, L.VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG, Turn.PAUSED, "watchdog"),
        (L.VIR_DOMAIN_EVENT_SUSPENDED, L.VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT, Turn.PAUSED, "snapshot"),
        (L.VIR_DOMAIN_EVENT_SUSPENDED, L.VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR, Turn.PAUSED, "api_error"),
        (L.VIR_DOMAIN_EVENT_SUSPENDED, L.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY, Turn.PAUSED, "postcopy"),
        (L.VIR_DOMAIN_EVENT_SUSPENDED, L.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED, Turn.PAUSED, "postcopy_failed"),
        (L.VIR_DOMAIN_EVENT_PMSUSPENDED, L.VIR_DOMAIN_EVENT_PMSUSPENDED_MEMORY, Turn.PAUSED, "suspended"),
        (L.VIR_DOMAIN_EVENT_RESUMED, L.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED, Turn.RESUMED, ""),
        (L.VIR_DOMAIN_EVENT_RESUMED, L.VIR_DOMAIN_EVENT_RESUMED_MIGRATED, Turn.RESUMED, "migrated"),
        (L.VIR_DOMAIN_EVENT_RESUMED, L.VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT, Turn.RESUMED, "snapshot"),
        (L.VIR_DOMAIN_EVENT_RESUMED, L.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY, Turn.RESUMED, "postcopy"),
        (L.VIR_DOMAIN_EVENT_STOPPED, L.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, Turn.STOPPED, "shutdown"),
        (L.VIR_DOMAIN_EVENT_STOPPED, L.VIR_DOMAIN_EVENT_STOPPED_DESTROYED, Turn.STOPPED, "destroyed"),
        (L.VIR_DOMAIN_EVENT_STOPPED, L.VIR_DOMAIN_EVENT_STOPPED_CRASHED, Turn.STOPPED, "crashed"),
        (L.VIR_DOMAIN_EVENT_STOPPED, L.VIR_DOMAIN_EVENT_STOPPED_MIGRATED, Turn.STOPPED, "migrated"),
        (L.VIR_DOMAIN_EVENT_STOPPED, L.VIR_DOMAIN_EVENT_STOPPED_SAVED, Turn.STOPPED, "saved"),
        (L.VIR_DOMAIN_EVENT_STOPPED, L.VIR_DOMAIN_EVENT_STOPPED_FAILED, Turn.STOPPED, "failed"),
        (L.VIR_DOMAIN_EVENT_CRASHED, L.VIR_DOMAIN_EVENT_CRASHED_PANICKED, Turn.CRASHED, "panicked"),
        (L.VIR_DOMAIN_EVENT_CRASHED, L.VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED, Turn.CRASHED, "crashloaded"),
        (L.VIR_DOMAIN_EVENT_STOPPED, 99, Turn.STOPPED, "unknown"),
    ],
)
def test_each_turn_of_a_life_has_its_word(event, detail, turn, reason):
    assert lifecycle(event, detail) == LifecycleEvent(turn, reason)


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        (L.VIR_DOMAIN_EVENT_DEFINED, 0),
        (L.VIR_DOMAIN_EVENT_UNDEFINED, 0),
        (L.VIR_DOMAIN_EVENT_SHUTDOWN, L.VIR_DOMAIN_EVENT_SHUTDOWN_GUEST),  # STOPPED follows
        (99, 0),
    ],
)
def test_what_changes_nothing_is_not_heard(event, detail):
    assert lifecycle(event, detail) is None


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        (L.VIR_DOMAIN_RUNNING, L.VIR_DOMAIN_RUNNING_BOOTED, (DomainState.RUNNING, "booted")),
        (L.VIR_DOMAIN_RUNNING, L.VIR_DOMAIN_RUNNING_MIGRATED, (DomainState.RUNNING, "migrated")),
        (L.VIR_DOMAIN_RUNNING, L.VIR_DOMAIN_RUNNING_UNPAUSED, (DomainState.RUNNING, "unknown")),
        (L.VIR_DOMAIN_RUNNING, L.VIR_DOMAIN_RUNNING_WAKEUP, (DomainState.RUNNING, "wakeup")),
        (L.VIR_DOMAIN_BLOCKED, 0, (DomainState.RUNNING, "unknown")),
        (L.VIR_DOMAIN_PAUSED, L.VIR_DOMAIN_PAUSED_USER, (DomainState.PAUSED, "user")),
        (L.VIR_DOMAIN_PAUSED, L.VIR_DOMAIN_PAUSED_MIGRATION, (DomainState.PAUSED, "migration")),
        (L.VIR_DOMAIN_PAUSED, L.VIR_DOMAIN_PAUSED_IOERROR, (DomainState.PAUSED, "ioerror")),
        (L.VIR_DOMAIN_PAUSED, L.VIR_DOMAIN_PAUSED_WATCHDOG, (DomainState.PAUSED, "watchdog")),
        (L.VIR_DOMAIN_PAUSED, L.VIR_DOMAIN_PAUSED_CRASHED, (DomainState.PAUSED, "crashed")),
        (L.VIR_DOMAIN_PAUSED, L.VIR_DOMAIN_PAUSED_STARTING_UP, (DomainState.PAUSED, "starting")),
        (L.VIR_DOMAIN_PAUSED, L.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, (DomainState.PAUSED, "postcopy_failed")),
        (L.VIR_DOMAIN_PAUSED, L.VIR_DOMAIN_PAUSED_API_ERROR, (DomainState.PAUSED, "api_error"))
        if hasattr(L, "VIR_DOMAIN_PAUSED_API_ERROR")
        else (L.VIR_DOMAIN_PAUSED, 14, (DomainState.PAUSED, "api_error")),
        (L.VIR_DOMAIN_PMSUSPENDED, 0, (DomainState.PAUSED, "suspended")),
        (L.VIR_DOMAIN_CRASHED, L.VIR_DOMAIN_CRASHED_PANICKED, (DomainState.CRASHED, "panicked")),
        (L.VIR_DOMAIN_SHUTOFF, L.VIR_DOMAIN_SHUTOFF_SHUTDOWN, (DomainState.STOPPED, "shutdown")),
        (L.VIR_DOMAIN_SHUTOFF, L.VIR_DOMAIN_SHUTOFF_DESTROYED, (DomainState.STOPPED, "destroyed")),
        (L.VIR_DOMAIN_SHUTOFF, L.VIR_DOMAIN_SHUTOFF_CRASHED, (DomainState.STOPPED, "crashed")),
        (L.VIR_DOMAIN_SHUTOFF, L.VIR_DOMAIN_SHUTOFF_MIGRATED, (DomainState.STOPPED, "migrated")),
        (L.VIR_DOMAIN_SHUTOFF, L.VIR_DOMAIN_SHUTOFF_SAVED, (DomainState.STOPPED, "saved")),
        (L.VIR_DOMAIN_SHUTOFF, L.VIR_DOMAIN_SHUTOFF_FAILED, (DomainState.STOPPED, "lost")),
    ],
)
def test_a_listed_state_has_the_word_that_its_event_has(state, reason, expected):
    assert listed_state(state, reason) == expected


def test_io_errors_say_what_qemu_did():
    assert io_error("ua-root", L.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE, "enospc") == IoErrorEvent(
        "ua-root", "pause", "enospc"
    )
    assert io_error("x", L.VIR_DOMAIN_EVENT_IO_ERROR_REPORT, "").action == "report"
    assert io_error("x", L.VIR_DOMAIN_EVENT_IO_ERROR_NONE, "").action == "none"


def test_watchdogs_say_what_qemu_did():
    actions = {
        L.VIR_DOMAIN_EVENT_WATCHDOG_NONE: "none",
        L.VIR_DOMAIN_EVENT_WATCHDOG_PAUSE: "pause",
        L.VIR_DOMAIN_EVENT_WATCHDOG_RESET: "reset",
        L.VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF: "poweroff",
        L.VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN: "shutdown",
        L.VIR_DOMAIN_EVENT_WATCHDOG_DEBUG: "debug",
        L.VIR_DOMAIN_EVENT_WATCHDOG_INJECTNMI: "inject_nmi",
    }
    assert {action: watchdog(action) for action in actions} == {a: WatchdogEvent(word) for a, word in actions.items()}


def test_the_catalogue_names_every_reason_that_a_stop_can_have() -> None:
    numbers = range(-1, 20)
    received = {found.reason for number in numbers if (found := lifecycle(L.VIR_DOMAIN_EVENT_STOPPED, number))}
    listed = {listed_state(L.VIR_DOMAIN_SHUTOFF, number)[1] for number in numbers}

    assert set(EVENT["vm.stopped"].values("reason")) == received | listed | {LOST}


@pytest.mark.parametrize(
    ("event", "attribute", "words"),
    [
        ("vm.started", "reason", {*events._STARTED, *events._RUNNING_REASON} - {"wakeup"}),
        ("vm.stopped", "reason", {*events._STOPPED, *events._SHUTOFF_REASON, LOST}),
        ("vm.crashed", "reason", {*events._CRASHED, *events._CRASHED_REASON, *gaps.CRASHES}),
        ("vm.paused", "reason", {*events._SUSPENDED, *events._PAUSED_REASON, "suspended", events.UNKNOWN}),
        ("vm.resumed", "reason", {*events._RESUMED, "wakeup", events.UNKNOWN} - {""}),
        ("vm.io_error", "action", {*events._IO_ERROR_ACTION, events.UNKNOWN}),
        ("vm.watchdog", "action", {*events._WATCHDOG_ACTION, events.UNKNOWN}),
    ],
)
def test_the_catalogue_lists_the_words_that_are_emitted(event, attribute, words):
    assert set(EVENT[event].values(attribute)) == words

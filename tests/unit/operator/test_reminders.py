"""An alert that lasts stays in sight: one Event, whose count grows, by whatever leader."""

from dataclasses import replace

from tests.unit.operator.builders import AT, VMI, firing
from virtwatch_api.targets import vm_ref
from virtwatch_operator.events.reminders import EVERY_S, Lasting, Reminders


class World:
    def __init__(self, *alerts):
        self.now, self.alerts = AT, [Lasting(alert, "uid") for alert in alerts]
        self.reminders = Reminders(firing=lambda begun_by: self.alerts, instance="operator-0", clock=lambda: self.now)

    def write(self, seconds):
        """Return the counts of what is written so long after the alert began."""
        self.now = AT + seconds
        due = self.reminders.due()
        for announcement, count in due:
            self.reminders.announced(announcement, count)
        return [(announcement.name, announcement.body.get("series", {}).get("count", 1)) for announcement, _ in due]


def test_a_reminder_counts_on_in_one_event():
    world = World(firing())
    assert world.write(EVERY_S - 1) == []
    ((name, first),) = world.write(EVERY_S + 60)
    assert world.write(EVERY_S + 600) == []
    assert world.write(2 * EVERY_S + 60) == [(name, 2)]
    assert first == 1


def test_a_new_leader_counts_as_the_last_one_did():
    old, new = World(firing()), World(firing())
    old.write(EVERY_S)
    assert old.write(2 * EVERY_S) == new.write(2 * EVERY_S)


def test_what_is_over_is_reminded_of_no_more():
    world = World(firing())
    world.alerts.clear()
    assert world.write(5 * EVERY_S) == []


def test_many_are_reminded_of_one_look_after_another():
    world = World(*(firing(replace(VMI, target=vm_ref(f"u{number}"))) for number in range(40)))
    written = [len(world.write(EVERY_S + 60 * look)) for look in range(4)]
    assert written == [25, 15, 0, 0]

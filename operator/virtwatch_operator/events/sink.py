"""Tells news as Kubernetes Events: one about the VM, one about the policy; a storm as one about policy and Node.

Of VMs that were evicted each has its own Event, too.
"""

import time
from collections.abc import Sequence

from opentelemetry.trace import Tracer

from virtwatch_operator.announce.sinks import News
from virtwatch_operator.events.bodies import announcements
from virtwatch_operator.events.recorder import Outcome, Recorder
from virtwatch_operator.events.reminders import Reminders
from virtwatch_operator.events.silent_bodies import silent_announcements
from virtwatch_operator.events.storm_bodies import storm_name
from virtwatch_operator.events.storm_recorder import StormRecorder
from virtwatch_operator.nodes.silent import NODE_SILENT
from virtwatch_rules.event import is_eviction


class EventSink:
    """Take news by creating its Events, or by counting them as withheld."""

    name = "events"

    def __init__(self, recorder: Recorder, *, storms: StormRecorder, reminders: Reminders, tracer: Tracer) -> None:
        self._recorder = recorder
        self._storms = storms
        self._reminders = reminders
        self._tracer = tracer

    def take(self, waiting: Sequence[News]) -> int:
        """Create the Events of one transition, or those of as many as make a storm.

        Raises:
            KubeError: one was not created and should be tried again.
        """
        begun = time.time_ns()
        if count := self._storms.announce(waiting):
            self._show_evicted(waiting[:count])
            self._show_storm(waiting[:count], begun)
            return count
        self._tell(waiting[0])
        return 1

    def _show_evicted(self, announced: Sequence[News]) -> None:
        """Write the Event on each VM that was evicted: the storm's own names but the first ones.

        What is handed in again meets the Events that are there.
        """
        for news in announced:
            if is_eviction(news.transition.evidence):
                about_target, *about_policy = announcements(news.transition, news.origin)
                if about_policy:  # else no object stands for the target
                    self._recorder.post(about_target, at=news.transition.at)

    def _tell(self, news: News) -> None:
        write = silent_announcements if news.transition.alert.rule == NODE_SILENT else announcements
        for announcement in write(news.transition, news.origin):
            with self._tracer.start_as_current_span("event", context=news.context) as span:
                outcome = self._recorder.post(announcement, at=news.transition.at)
                span.set_attributes({"k8s.event.name": announcement.name, "virtwatch.event.outcome": outcome.value})
            if outcome is Outcome.WITHHELD:
                # The first one's summary stands before its transition is acknowledged and forgotten.
                self._recorder.announce_withheld(announcement.budget)

    def _show_storm(self, announced: Sequence[News], begun: int) -> None:
        """Show in the trace of each transition which Event reports it with others."""
        name = storm_name(announced[0].transition, announced[0].origin)
        attributes: dict[str, str | int] = {
            "k8s.event.name": name,
            "virtwatch.event.outcome": "summed",
            "virtwatch.event.alerts": len(announced),
        }
        for news in announced:
            self._tracer.start_span("event", context=news.context, start_time=begun, attributes=attributes).end()

    def tick(self) -> None:
        """Write the counts of withheld Events, and the reminders, that are due.

        Raises:
            KubeError: some were not written and stay due.
        """
        self._recorder.announce_withheld()
        for announcement, count in self._reminders.due():
            self._recorder.remind(announcement)
            self._reminders.announced(announcement, count)

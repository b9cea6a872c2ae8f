"""The windows of one target: each (signal, device, function, window, grid) once, whoever asks.

A look's samples go to the grid of each interval that is asked for: the first one due at or after an instant of the grid
is that instant's, others are extra. An instant whose sample does not come is a gap.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import lru_cache

from virtwatch_api.policy import Function
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.engine import NEVER, Judge, Watch, Woken
from virtwatch_rules.inputs import Input, Measured
from virtwatch_rules.windows import LARGEST, NONE, Window, slots_of

STALE_INTERVALS = 3
STALE_AT_LEAST_S = 5.0  # below it a slow sample would look like missing data
LATE_S = 2.0  # a sample may come so much after it was due before its instant is judged without it
_SLACK_S = 0.002  # by which a due instant may lie before its grid's
_MOST_GAPS = 512  # instants of one gap that are judged one by one


class Reading:
    """Show one window of one series; engines see it as `engine.Reading`."""

    __slots__ = ("device", "function", "high", "low", "reach", "track", "watches", "window")

    def __init__(self, device: str, track: "Track", function: Function, reach: float, window: Window) -> None:
        self.device = device
        self.track = track
        self.function = function
        self.reach = reach  # seconds
        self.watches: list[Watch] = []
        self.low, self.high = NEVER, -NEVER  # while the value is in between, nobody need look
        self.show(window)

    def show(self, window: Window) -> None:
        """Show a window, in place of another one of the same samples."""
        self.window = window
        window.rest(self.low, self.high)

    def rest(self) -> None:
        """Find the band in which all who watch sleep."""
        low = max((watch.low for watch in self.watches), default=-NEVER)
        high = min((watch.high for watch in self.watches), default=NEVER)
        if (low, high) != (self.low, self.high):
            self.low, self.high = low, high
            self.window.rest(low, high)

    def wake(self, result: float, woken: dict[Judge, list[Watch]]) -> None:
        """Note who must judge a value."""
        for watch in self.watches:
            if not watch.low <= result <= watch.high:
                woken.setdefault(watch.judge, []).append(watch)

    @property
    def seen(self) -> float:
        """Return when its newest sample was due."""
        return self.track.seen

    @property
    def at(self) -> float:
        """Return the newest instant that was judged."""
        return self.track.at

    @property
    def value(self) -> float | None:
        """Return the aggregate; None when it holds no value."""
        if self.outdated:
            return None
        value = self.window.value()
        return value if value == value else None  # NONE is not itself

    @property
    def idle(self) -> bool:
        """Return whether samples came and none had an operation to measure."""
        return self.window.idles > 0 and self.window.count == 0 and not self.outdated

    @property
    def outdated(self) -> bool:
        """Return whether the newest value is too old to stand for now."""
        return self.function is Function.LAST and self.missing

    @property
    def missing(self) -> bool:
        """Return whether no sample has come for several intervals."""
        return self.track.at - self.track.seen >= self.track.stale - _SLACK_S

    @property
    def silence(self) -> float:
        """Return for how many seconds no sample has come."""
        return max(0.0, self.track.at - self.track.seen)

    @property
    def whole(self) -> bool:
        """Return whether instants have passed for as long as the window reaches back."""
        return self.window.filled >= self.window.size

    @property
    def samples(self) -> int:
        """Return how many samples the value rests on."""
        return 0 if self.outdated else self.window.count


@lru_cache
def _rate(interval: float) -> float:
    """Return one number for all tracks of an interval: what lies together is read faster."""
    return 1.0 / interval


class Track:
    """Follow one series on one grid; times in seconds since 1970."""

    __slots__ = ("anchor", "at", "fresh", "interval", "late", "open", "rate", "readings", "seen", "slot", "stale")

    def __init__(self, interval: float, at: float) -> None:
        self.interval = interval
        self.rate = _rate(interval)
        self.stale = max(STALE_AT_LEAST_S, STALE_INTERVALS * interval)
        self.late = min(LATE_S, interval)
        self.anchor = at - _SLACK_S
        self.slot = 0
        self.at = self.seen = at  # the newest instant that was judged, and the newest whose sample came
        self.fresh = True  # no sample came yet: `seen` is since when one is expected
        self.open = False  # the newest instant's sample did not come yet
        self.readings: tuple[Reading, ...] = ()

    @property
    def check_at(self) -> float:
        """Return when the next instant is judged without its sample, unless that comes."""
        return self.at + self.interval + self.late

    def missed(self, at: float) -> int:
        """Return how many instants had their time by `at` and no sample."""
        return max(0, int((at + _SLACK_S - self.late - self.at) * self.rate))

    def behind(self, due: float) -> int:
        """Return how many instants before that of `due` had no sample."""
        return 0 if self.fresh else int((due - self.anchor) * self.rate) - self.slot - 1

    def pass_one(self, step: int, woken: dict[Judge, list[Watch]]) -> None:
        """Move on by `step` instants without a sample, at once; note who must judge."""
        self.slot += step
        self.at += step * self.interval
        self.open = True
        for reading in self.readings:
            if step > 1:
                reading.window.skip(step)
            result = reading.window.push_gap()
            reading.wake(NONE if reading.outdated else result, woken)


class Store:
    """Keep the windows that the judges of one target want, and tell which judges must look."""

    def __init__(self, budget: WindowBudget) -> None:
        self._budget = budget
        budget.join(self)
        self._series: dict[tuple[str, str], list[Track]] = {}
        self._asked: dict[str, list[Judge]] = {}  # by signal: who wants it, as its `wants` say
        self.intervals: dict[str, float] = {}  # how often (seconds) each signal is wanted
        self._counts: dict[Set[str], int] = {}  # series by what a look can report
        self.check_at = 0.0  # when an instant is next judged without its sample, unless that comes
        self._began = (0.0, 0.0)  # the newest look that a series began with, and its anchor: one number for all

    def change(self, judge: Judge, before: Sequence[Input], now: Sequence[Input]) -> bool:
        """Give a judge what it wants `now`, and take what it alone wanted before: windows that it still wants stay.

        `now` is what its `wants` say, or nothing where the judge is gone.
        Return whether `intervals` changed.
        """
        left = [wanted for wanted in before if wanted not in now]
        came = [wanted for wanted in now if wanted not in before]
        signals = {wanted.signal for wanted in (*left, *came)}
        signals_before, signals_now = ({wanted.signal for wanted in inputs} for inputs in (before, now))
        for signal in signals_before - signals_now:
            self._asked[signal].remove(judge)
            if not self._asked[signal]:
                del self._asked[signal]
        for signal in signals_now - signals_before:
            self._asked.setdefault(signal, []).append(judge)
        changed = sum(self._note_interval(signal) for signal in signals) > 0
        for signal, device in [key for key in self._series if key[0] in signals]:
            tracks = self._series[signal, device]
            for reading in [reading for track in tracks for reading in track.readings]:
                _detach(reading, judge, left)
            for wanted in came:
                if wanted.signal == signal:
                    self._watch(tracks, judge, wanted, device, tracks[0].seen)
            if left:
                self._trim((signal, device))
        return changed

    def _note_interval(self, signal: str) -> bool:
        """Note how often a signal is wanted; return whether that changed."""
        before = self.intervals.pop(signal, None)
        if signal in self._asked:
            self.intervals[signal] = min(wanted.interval for _, wanted in self._asking(signal))
        return self.intervals.get(signal) != before

    def _asking(self, signal: str) -> Iterator[tuple[Judge, Input]]:
        """Yield who wants a signal, and how."""
        for judge in self._asked[signal]:
            for wanted in judge.wants.inputs:
                if wanted.signal == signal:
                    yield judge, wanted

    def expect(self, signal: str, device: str, *, at: float) -> None:
        """Let the silence of a series that is to come count from now on."""
        if signal in self._asked and (signal, device) not in self._series:
            self._open(signal, device, at)

    def take(  # noqa: C901 - the loop that all samples go through, unrolled
        self, look: Measured, catch_up: Callable[[Iterator[Woken]], None]
    ) -> dict[Judge, list[Watch]]:
        """Take the samples of a look; return who must judge as of when it was due.

        `catch_up` judges the instants that a series missed before, while its windows still stand there.
        """
        woken: dict[Judge, list[Watch]] = {}
        due, series, taken = look.due, self._series, 0
        anchor, rate, index = 0.0, 0.0, 0
        for signal, device, value in look.points:
            tracks = series.get((signal, device))
            if tracks is None:
                if signal not in self._asked:
                    continue
                tracks = self._open(signal, device, due)
            if value is not None and not -LARGEST < value < LARGEST:
                continue
            taken += 1
            for track in tracks:
                if track.anchor is not anchor or track.rate is not rate:
                    anchor, rate = track.anchor, track.rate
                    index = int((due - anchor) * rate)
                step = index - track.slot
                if step != 1 or track.fresh:
                    if step > 1:
                        catch_up(self._behind(track, look))
                    self._take_unusual(track, value, due, step, woken)
                    continue
                track.slot = index
                track.at = track.seen = due
                track.open = False
                for reading in track.readings:
                    result = reading.window.push(value, 1)
                    if not reading.low <= result <= reading.high:
                        reading.wake(result, woken)
        if taken < self._expected(look.signals):
            self._leave_out(look, woken, catch_up)
        return woken

    def overdue(self, *, at: float) -> bool:
        """Return whether the sample of some instant has not come by `at`; nearly always all have."""
        if at < self.check_at:
            return False
        # As each track's `check_at` says.
        ends = [track.at + track.interval + track.late for tracks in self._series.values() for track in tracks]
        check_at = min(ends, default=NEVER)
        if at < check_at - _SLACK_S:
            self.check_at = check_at
            return False
        return True

    def miss(self, *, at: float) -> Iterator[Woken]:
        """Let instants pass whose samples did not come by `at`; each is to be judged before the next is asked for."""
        if not self.overdue(at=at):
            return
        tracks = [track for tracks in self._series.values() for track in tracks]
        yield from _pass_by([(track, track.missed(at)) for track in tracks])
        self.check_at = min((track.check_at for track in tracks), default=NEVER)

    def gone(self, signals: Set[str], device: str) -> list[Watch]:
        """Forget a device's series of these signals; return who watched them, unless silence is what they watch for."""
        left: list[Watch] = []
        for signal in signals:
            tracks = self._series.get((signal, device))
            for reading in [reading for track in tracks or () for reading in track.readings]:
                left += [watch for watch in reading.watches if not watch.judge.minds_silence]
                reading.watches = [watch for watch in reading.watches if watch.judge.minds_silence]
                reading.rest()
            self._trim((signal, device))
        return left

    def clear(self) -> None:
        """Forget all series: the target is gone."""
        for tracks in self._series.values():
            for reading in [reading for track in tracks for reading in track.readings]:
                self._budget.free(reading.window)
        self._series, self._counts = {}, {}

    def clock_set(self, seconds: float) -> None:
        """Move all instants: the clock was set."""
        self.check_at += seconds
        anchors: dict[float, float] = {}
        for track in (track for tracks in self._series.values() for track in tracks):
            track.anchor = anchors.setdefault(track.anchor, track.anchor + seconds)
            track.at += seconds
            track.seen += seconds

    def readings(self) -> Iterator[Reading]:
        """Yield its windows."""
        for tracks in self._series.values():
            for track in tracks:
                yield from track.readings

    def _take_unusual(
        self,
        track: Track,
        value: float | None,
        due: float,
        step: int,
        woken: dict[Judge, list[Watch]],
    ) -> None:
        if track.fresh:
            if self._began[0] != due:
                self._began = (due, due - _SLACK_S)
            track.fresh, track.anchor, track.slot, step = False, self._began[1], 0, 1
        elif step > 1:
            track.slot, step = track.slot + 1, 1
        elif step < 0 or (due <= track.seen and not track.open):
            return  # older than what came
        elif not track.open:
            weight, track.seen = due - track.seen, due
            for reading in track.readings:
                reading.wake(reading.window.between(value, weight), woken)
            return
        track.at = track.seen = due
        track.open = False
        for reading in track.readings:
            reading.wake(reading.window.push(value, step), woken)

    def _expected(self, signals: Set[str]) -> int:
        """Return how many series a look that can report these signals has given."""
        count = self._counts.get(signals)
        if count is None:
            count = self._counts[signals] = sum(signal in signals for signal, _ in self._series)
        return count

    def _leave_out(
        self, look: Measured, woken: dict[Judge, list[Watch]], catch_up: Callable[[Iterator[Woken]], None]
    ) -> None:
        """Let the instant pass for the series of which the look could tell and did not: they need not be waited for."""
        left_out = [track for track in self._told_by(look) if not track.fresh and track.behind(look.due) >= 0]
        catch_up(_pass_by([(track, track.behind(look.due)) for track in left_out]))
        for track in left_out:
            track.pass_one(1, woken)

    def _behind(self, track: Track, look: Measured) -> Iterator[Woken]:
        """Pass by the instants before a look's, of all series of which it can tell."""
        tracks = {track, *self._told_by(look)}
        return _pass_by([(item, item.behind(look.due)) for item in tracks])

    def _told_by(self, look: Measured) -> list[Track]:
        return [track for (signal, _), tracks in self._series.items() if signal in look.signals for track in tracks]

    def _open(self, signal: str, device: str, at: float) -> list[Track]:
        self._counts = {}
        tracks = self._series[signal, device] = []
        for judge, wanted in self._asking(signal):
            self._watch(tracks, judge, wanted, device, at)
        self.check_at = min([self.check_at, *(track.check_at for track in tracks)])
        return tracks

    def _watch(self, tracks: list[Track], judge: Judge, wanted: Input, device: str, at: float) -> None:
        track = next((item for item in tracks if item.interval == wanted.interval), None)
        if track is None:
            track = Track(wanted.interval, at)
            tracks.append(track)
            self.check_at = min(self.check_at, track.check_at)
        function, reach = wanted.aggregate.function, wanted.aggregate.window
        reading = next((item for item in track.readings if (item.function, item.reach) == (function, reach)), None)
        if reading is None:
            window = self._budget.open(function, slots_of(reach, wanted.interval), wanted.interval)
            reading = Reading(device, track, function, reach, window)
            track.readings = (*track.readings, reading)
        watch = Watch(judge, wanted, reading)
        reading.watches.append(watch)
        reading.rest()
        judge.attach(watch)

    def _trim(self, key: tuple[str, str]) -> None:
        """Close the windows of a series that nobody watches."""
        tracks = self._series.get(key, [])
        for track in tracks:
            for reading in [item for item in track.readings if not item.watches]:
                self._budget.free(reading.window)
            track.readings = tuple(item for item in track.readings if item.watches)
        tracks[:] = [track for track in tracks if track.readings]
        if not tracks:
            self._series.pop(key, None)
            self._counts = {}


def _detach(reading: Reading, judge: Judge, left: Sequence[Input]) -> None:
    """Take a window from a judge that no longer wants it."""
    gone = [watch for watch in reading.watches if watch.judge is judge and watch.input in left]
    if gone:
        reading.watches = [watch for watch in reading.watches if watch not in gone]
        reading.rest()
    for watch in gone:
        judge.detach(watch)


def _pass_by(missed: Iterable[tuple[Track, int]]) -> Iterator[Woken]:
    """Move on over so many instants of each track without a sample, in their order in time."""
    waiting = [
        (track.at + track.interval, number, track, left) for number, (track, left) in enumerate(missed) if left > 0
    ]
    heapq.heapify(waiting)
    passed = 0
    while waiting:
        instant, passed = waiting[0][0], passed + 1
        woken: dict[Judge, list[Watch]] = {}
        while waiting and waiting[0][0] <= instant + _SLACK_S:
            _, number, track, left = heapq.heappop(waiting)
            step = left if passed >= _MOST_GAPS else 1
            track.pass_one(step, woken)
            if left > step:
                heapq.heappush(waiting, (track.at + track.interval, number, track, left - step))
        for judge, watches in woken.items():
            yield Woken(judge, watches, watches[0].reading.at)

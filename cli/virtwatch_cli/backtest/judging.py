"""Judges recordings, large ones on several CPUs: each process reads all, and judges its share of the targets.

Rules that join several targets are judged by one more process, of events alone. What is said is the same, in the same
order, whatever the number of processes: by time, then by target.
"""

import gc
import heapq
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

from virtwatch_api.resolution import effective_rules
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.backtest.coverage import Coverage
from virtwatch_cli.backtest.recordings import STANDARD_INPUT, read_recordings
from virtwatch_cli.backtest.trace import Series, Trace, Traces
from virtwatch_rules.budget import LIMIT_BYTES, WindowBudget
from virtwatch_rules.pattern.groups import joins
from virtwatch_rules.recording import Reader, Recorded, RecordedSample, TargetName
from virtwatch_rules.replay import Part, Replay, Transition

_GARBAGE_AFTER = 50_000  # objects: a process that lives for a recording need not look for garbage all the time
_SHARE_BYTES = 32 << 20  # of a recording, that is worth a process; starting one takes as long as reading a tenth of it


@dataclass(slots=True)
class Share:
    """Hold what came of one share of the targets."""

    transitions: list[Transition]
    targets: int
    late: int
    end: float
    coverage: Coverage = field(default_factory=Coverage)
    cut_off: Sequence[str] = ()
    traces: Mapping[Series, Trace] = field(default_factory=dict)


class Judging:
    """Judge recordings by policies; when `run` has ended, say of how many targets, and what was left out."""

    def __init__(
        self, thresholds: Sequence[ThresholdSet], samples: Sequence[Path], *, traces: Traces | None, processes: int = 0
    ) -> None:
        """`traces` takes the values of the series of which an alert is said; `processes` 0 for as many as it needs."""
        self._thresholds = thresholds
        self._samples = samples
        self._traces = traces
        self._processes = processes or _worth(samples)
        self.targets = 0
        self.late = 0  # lines that came after a newer one
        self.end = 0.0  # seconds since 1970
        self.coverage = Coverage()
        self.cut_off: Sequence[str] = ()  # the recordings whose last line is half a line

    def run(self) -> Iterator[Transition]:
        """Yield what is said.

        Raises:
            BacktestError: a recording cannot be read.
        """
        yield from self._on_several() if self._processes > 1 else self._here()

    def _here(self) -> Iterator[Transition]:
        replay, reader = Replay(self._thresholds), Reader()
        said = replay.run(_traced(read_recordings(self._samples, reader), self._traces))
        for _, of_instant in groupby(said, key=lambda transition: transition.at):
            yield from sorted(of_instant, key=_order)
        self.targets, self.late, self.end = len(replay.targets), reader.late, replay.at
        self.coverage.note(replay, reader)
        self.cut_off = reader.cut_off

    def _on_several(self) -> Iterator[Transition]:
        together = any(joins(rule) for item in self._thresholds for rule in effective_rules(item).values())
        with ProcessPoolExecutor(self._processes, mp_context=get_context("spawn")) as pool:
            waiting = [
                pool.submit(judge_share, self._thresholds, self._samples, index, self._processes, self._traces)
                for index in range(self._processes)
            ]
            if together:
                waiting.append(pool.submit(judge_together, self._thresholds, self._samples))
            shares = [future.result() for future in waiting]
        for share in shares:
            self.targets, self.late, self.end = self.targets + share.targets, self.late + share.late, share.end
            self.coverage.add(share.coverage)
            self.cut_off = share.cut_off
            if self._traces is not None:
                self._traces.add(share.traces)
        yield from heapq.merge(*(share.transitions for share in shares), key=_order)


def judge_share(
    thresholds: Sequence[ThresholdSet], samples: Sequence[Path], index: int, count: int, traces: Traces | None
) -> Share:
    """Judge the targets of one share of `count`.

    Raises:
        BacktestError: a recording cannot be read.
    """
    gc.set_threshold(_GARBAGE_AFTER)
    reader = Reader(lambda target: crc32(target.name.encode()) % count == index)
    replay = Replay(thresholds, windows=WindowBudget(LIMIT_BYTES // count), part=Part.EACH)
    share = _judge(replay, reader, _traced(read_recordings(samples, reader), traces))
    share.targets, share.late = len(replay.targets), reader.late
    share.coverage.note(replay, reader)
    if traces is not None:
        share.traces = traces.kept({(item.target, item.verdict.evidence.subject) for item in share.transitions})
    return share


def judge_together(thresholds: Sequence[ThresholdSet], samples: Sequence[Path]) -> Share:
    """Judge the rules that join several targets.

    Raises:
        BacktestError: a recording cannot be read.
    """
    reader = Reader()
    events = (item for item in read_recordings(samples, reader) if not isinstance(item, RecordedSample))
    return _judge(Replay(thresholds, part=Part.TOGETHER), reader, events)


def _judge(replay: Replay, reader: Reader, recorded: Iterator[Recorded]) -> Share:
    said = [_alone(item) for item in replay.run(_begun(replay, reader, recorded))]
    said += [_alone(item) for item in replay.until(reader.newest)]  # others may have had lines after the last of these
    return Share(sorted(said, key=_order), targets=0, late=0, end=reader.newest, cut_off=reader.cut_off)


def _begun(replay: Replay, reader: Reader, recorded: Iterator[Recorded]) -> Iterator[Recorded]:
    """Let time begin with the first line of all, whosever it is."""
    for item in recorded:
        replay.begin(reader.first)
        yield item
        break
    yield from recorded


def _traced(recorded: Iterator[Recorded], traces: Traces | None) -> Iterator[Recorded]:
    return recorded if traces is None else _note_each(recorded, traces)


def _note_each(recorded: Iterable[Recorded], traces: Traces) -> Iterator[Recorded]:
    for item in recorded:
        if isinstance(item, RecordedSample):
            traces.note(item)
        yield item


def _alone(transition: Transition) -> Transition:
    """Return a transition without what it was judged by, which is large and stays where it is."""
    return replace(transition, verdict=replace(transition.verdict, effective=None, alert=None, saved=None))


def _order(transition: Transition) -> tuple[float, TargetName]:
    return transition.at, transition.target


def _worth(samples: Sequence[Path]) -> int:
    """Return how many processes recordings are worth; one that can be read once only is read by this one."""
    if not all(path != STANDARD_INPUT and path.is_file() for path in samples):
        return 1
    size = sum(path.stat().st_size for path in samples)
    return max(1, min(len(os.sched_getaffinity(0)), size // _SHARE_BYTES))

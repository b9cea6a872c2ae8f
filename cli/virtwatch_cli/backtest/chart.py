"""One page that needs nothing else: for each alert a chart of its value, its bounds, and when it fired."""

import html
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.names import printable
from virtwatch_api.policy import PolicyKey, Rule, Severity, ThresholdRule
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.backtest.coverage import Gap
from virtwatch_cli.backtest.summary import AlertHistory, Summary, describe_gap, times
from virtwatch_cli.backtest.trace import Trace, Traces
from virtwatch_rules.wording import describe_seconds

MOST_CHARTS = 60
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 1000, 220, 80, 24, 8
_MOST_SPANS = 200
_STYLE = """
:root{--text:#1c2024;--soft:#60646c;--line:#3b6fd4;--area:#3b6fd433;--grid:#e3e5e9;--warning:#e8a33d;--critical:#d64545;
--band:#4fa36a;--page:#fff;--card:#f7f8fa}
@media(prefers-color-scheme:dark){:root{--text:#eceef1;--soft:#a2a8b2;--line:#7ea6f5;--area:#7ea6f533;--grid:#32363d;
--page:#15171a;--card:#1d2024}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page);margin:2rem auto;max-width:1100px;
padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:0}
p{margin:.25rem 0;color:var(--soft)}section{background:var(--card);border-radius:8px;padding:1rem;margin:.75rem 0}
svg{width:100%;height:auto;display:block}text{font:11px system-ui,sans-serif;fill:var(--soft)}
table{border-collapse:collapse}td,th{padding:.2rem 1rem .2rem 0;text-align:left}th{color:var(--soft);font-weight:500}
.grid{stroke:var(--grid)}.range{fill:var(--area);stroke:var(--line);stroke-width:1.2}
.warning{stroke:var(--warning)}.critical{stroke:var(--critical)}.bound{stroke-dasharray:6 4;stroke-width:1.5}
.band{fill:var(--band);opacity:.15}.fire-warning{fill:var(--warning);opacity:.28}
.fire-critical{fill:var(--critical);opacity:.28}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .3em 0 1em;vertical-align:-.05em}
p .key:first-child{margin-left:0}
"""


def write_page(thresholds: Sequence[ThresholdSet], summary: Summary, traces: Traces, *, end: float) -> str:
    """Return the page as HTML; `end` is where the recording ends."""
    return "".join(_page(thresholds, summary, traces, end))


def _page(thresholds: Sequence[ThresholdSet], summary: Summary, traces: Traces, end: float) -> Iterator[str]:
    fired = sum(alert.fired for alert in summary.alerts.values())
    targets = len({alert.target for alert in summary.alerts.values() if alert.fired})
    yield '<!doctype html><html lang="en"><meta charset="utf-8"><title>virtwatch back-test</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    yield f"<h1>Would have fired {times(fired)} on {_targets(targets)}</h1>"
    yield '<p><span class="key" style="background:var(--line)"></span>value'
    yield '<span class="key" style="background:var(--warning)"></span>Warning'
    yield '<span class="key" style="background:var(--critical)"></span>Critical'
    yield '<span class="key" style="background:var(--band)"></span>expected band, of the last time that it fired. '
    yield "Dashed lines are bounds, shaded times are those in which the alert fired. Times are UTC.</p>"
    shown = 0
    for item in thresholds:
        for rule in item.rules:
            alerts = summary.of(item.policy, rule.name)
            yield from _rule(item.policy, rule, alerts, summary.gap(item, rule))
            for alert in alerts[: MOST_CHARTS - shown]:
                yield from _chart(rule, alert, traces, end)
                shown += 1
    if len(summary.alerts) > shown:
        yield f"<p>{len(summary.alerts) - shown} more alerts have no chart here: {shown} is the most.</p>"
    yield "</html>\n"


def _rule(policy: PolicyKey, rule: Rule, alerts: Sequence[AlertHistory], gap: Gap | None) -> Iterator[str]:
    fired = sum(alert.fired for alert in alerts)
    yield f"<h2>{html.escape(rule.name)}</h2><p>{policy.kind} {html.escape(str(policy))}: "
    if gap is not None:
        yield html.escape(describe_gap(gap)) + ("; " if not gap.whole else ".</p>")
    if gap is not None and gap.whole:
        return
    yield f"fired {times(fired)} on {_targets(len({alert.target for alert in alerts if alert.fired}))}.</p>"


def _chart(rule: Rule, alert: AlertHistory, traces: Traces, end: float) -> Iterator[str]:
    device = f" · {alert.device}" if alert.device else ""
    yield f"<section><h3>{_escaped(alert.target.name + device)}</h3>"
    first = alert.spans[0] if alert.spans else None
    total = sum((span.end or end) - span.begin for span in alert.spans)
    yield f"<p>fired {times(alert.fired)}, {describe_seconds(round(total))} in all"
    yield f"; first at {_time(first.begin)}: {_escaped(first.text)}</p>" if first else "</p>"
    trace = traces.of(alert.target, alert.signal, alert.device)
    if trace is not None and len(trace.pieces) > 1:
        yield _Plot(rule, alert, trace, end).svg()
    elif alert.spans:
        yield "<p>It fired " + ", ".join(_span_text(span.begin, span.end) for span in alert.spans[:20]) + ".</p>"
    yield "</section>"


def _escaped(text: str) -> str:
    """Return text from a recording as it may stand in the page."""
    return html.escape(printable(text))


def _targets(count: int) -> str:
    return "1 target" if count == 1 else f"{count} targets"


def _span_text(begin: float, end: float | None) -> str:
    return f"{_time(begin)} to {_time(end) if end else 'the end'}"


class _Plot:
    """Draw one series."""

    def __init__(self, rule: Rule, alert: AlertHistory, trace: Trace, end: float) -> None:
        self._alert, self._trace = alert, trace
        self._bounds = _bounds(rule)
        levels = [value for _, value in self._bounds] + list(alert.band or ())
        self._low = min([least for _, least, _ in trace.pieces] + levels + [0.0])
        self._high = max([greatest for _, _, greatest in trace.pieces] + levels)
        self._high += (self._high - self._low) * 0.05 or 1.0
        self._begin, self._end = trace.pieces[0][0], max(end, trace.pieces[-1][0] + 1)

    def svg(self) -> str:
        """Return the chart."""
        label = _escaped(f"{self._alert.signal} of {self._alert.target}")
        parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">']
        parts += self._grid()
        if self._alert.band:
            top, bottom = self._y(self._alert.band[1]), self._y(self._alert.band[0])
            parts.append(_rect(_LEFT, top, _WIDTH - _LEFT, bottom - top, "band"))
        for span in self._alert.spans[:_MOST_SPANS]:
            left, right = self._x(span.begin), self._x(span.end or self._end)
            style = "fire-critical" if span.severity is Severity.CRITICAL else "fire-warning"
            parts.append(_rect(left, _TOP, max(1.5, right - left), _HEIGHT - _BOTTOM - _TOP, style))
        parts.append(self._range())
        for style, value in self._bounds:
            y = self._y(value)
            parts.append(_line(_LEFT, y, _WIDTH, y, f"bound {style}"))
            parts.append(f'<text x="{_WIDTH - 4}" y="{y - 4:.1f}" text-anchor="end">{self._text(value)}</text>')
        return "".join([*parts, "</svg>"])

    def _grid(self) -> Iterator[str]:
        for value in _ticks(self._low, self._high, unit=self._unit()):
            yield _line(_LEFT, self._y(value), _WIDTH, self._y(value), "grid")
            yield f'<text x="{_LEFT - 6}" y="{self._y(value) + 4:.1f}" text-anchor="end">{self._text(value)}</text>'
        for index in range(5):
            at = self._begin + (self._end - self._begin) * index / 4
            anchor = "start" if index == 0 else "end" if index == 4 else "middle"
            yield f'<text x="{self._x(at):.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{_time(at)}</text>'

    def _text(self, value: float) -> str:
        signal = SIGNAL.get(self._alert.signal)
        return html.escape(signal.format(value) if signal else f"{value:.3g}")

    def _unit(self) -> float:
        """Return what round numbers are multiples of: bytes are written in powers of 1,024."""
        signal = SIGNAL.get(self._alert.signal)
        if signal is None or not signal.unit.startswith("By") or self._high < 1:
            return 1.0
        return 1024.0 ** math.floor(math.log(self._high, 1024))

    def _range(self) -> str:
        """Draw the least and greatest value as one area, which is a line where both are the same."""
        there = [f"{self._x(at):.1f},{self._y(high):.1f}" for at, _, high in self._trace.pieces]
        back = [f"{self._x(at):.1f},{self._y(low):.1f}" for at, low, _ in reversed(self._trace.pieces)]
        return f'<polygon class="range" points="{" ".join([*there, *back])}"/>'

    def _x(self, at: float) -> float:
        return _LEFT + (at - self._begin) / (self._end - self._begin) * (_WIDTH - _LEFT)

    def _y(self, value: float) -> float:
        height = _HEIGHT - _BOTTOM - _TOP
        return _TOP + height - (value - self._low) / (self._high - self._low) * height


def _bounds(rule: Rule) -> list[tuple[str, float]]:
    if not isinstance(rule.body, ThresholdRule):
        return []
    levels = (("warning", rule.body.warning), ("critical", rule.body.critical))
    return [(style, level.value) for style, level in levels if level is not None]


def _ticks(low: float, high: float, *, unit: float = 1.0) -> Iterator[float]:
    """Yield three to seven values of a range, round in a unit."""
    low, high = low / unit, high / unit
    rough = (high - low) / 5
    step = 10.0 ** math.floor(math.log10(rough))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= rough)
    for index in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield index * step * unit


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def _rect(x: float, y: float, width: float, height: float, style: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(0.0, height):.1f}" class="{style}"/>'


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M")

"""When a target is worth another look: what is still, or as noisy as ever, is not."""

import random

from virtwatch_agent.judge.attention import FOLLOWED, RESTLESS, Attention
from virtwatch_api.policy import Bound, Level
from virtwatch_rules.inputs import Point

SIGNAL = "vm.cpu.utilization"


def looks(*values: float, bounds: tuple[float, ...] = (0.9,)) -> list[bool]:
    attention = Attention({SIGNAL: bounds})
    return [attention.more_looks([Point(SIGNAL, "", value)], now=now) == RESTLESS for now, value in enumerate(values)]


def test_what_is_still_is_left_alone_even_beside_its_bound():
    assert not any(looks(*[0.3] * 20))
    assert not any(looks(*[0.89] * 20))


def test_a_jump_is_looked_at_until_the_signal_is_still():
    seen = looks(*[0.3] * 10, *[0.6] * 10)
    assert seen.index(True) == 10
    assert not any(seen[11:])


def test_a_signal_that_creeps_towards_its_bound_is_looked_at_before_it_is_there():
    ramp = [0.3 + 0.02 * number for number in range(30)]
    seen = looks(*ramp)
    first = next(value for value, restless in zip(ramp, seen, strict=True) if restless)
    assert first < 0.9


def test_noise_that_is_usual_is_left_alone():
    noisy = random.Random(7)
    seen = looks(*[0.4 + noisy.uniform(-0.1, 0.1) for _ in range(400)])
    assert sum(seen[20:]) < 20


def test_signals_without_a_rule_and_idle_devices_say_nothing():
    attention = Attention({SIGNAL: (0.9,)})
    for value in (0.0, 1.0, None, 5.0):
        assert not attention.more_looks([Point("vm.memory.rss", "", value), Point(SIGNAL, "", None)], now=0.0)


def test_a_mean_is_followed_until_its_window_is_over():
    level = Level(Bound.ABOVE, 0.6, 0.6)
    attention = Attention({SIGNAL: (0.6, 0.6)}, {SIGNAL: [(level, 5.0)]})
    values = [0.3] * 10 + [1.0] * 20 + [0.3] * 10
    seen = [attention.more_looks([Point(SIGNAL, "", value)], now=now) for now, value in enumerate(values)]
    assert seen[:10] == [0] * 10
    assert seen[10] == RESTLESS
    assert seen[11:15] == [FOLLOWED] * 4
    assert FOLLOWED not in seen[15:]

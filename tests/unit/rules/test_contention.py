import pytest

from virtwatch_rules.contention import Look, Thread, contention, own_limit, read_cpu_list

VICTIM, HOG, DAEMON, ELSEWHERE = 10, 20, 30, 40
MACHINES = {VICTIM: "shop/web-1", HOG: "shop/batch-7"}
NAMES = {DAEMON: "ksmd", ELSEWHERE: "kswapd0"}


def looks(**seconds: float) -> list[Look]:
    """Two looks ten seconds apart; each thread has had these seconds in between, on CPU 2 but the one elsewhere."""
    threads = {"victim": (VICTIM, 2), "hog": (HOG, 3), "daemon": (DAEMON, 2), "elsewhere": (ELSEWHERE, 0)}
    before = {pid: Thread(pid, 100.0, cpu) for pid, cpu in threads.values()}
    after = {pid: Thread(pid, 100.0 + seconds.get(name, 0.0), cpu) for name, (pid, cpu) in threads.items()}
    return [Look(0.0, before), Look(10.0, after)]


def on(found: list[Look]) -> object:
    return contention(found, target=VICTIM, cpus=frozenset({2, 3}), machines=MACHINES, names=NAMES)


def test_who_had_the_cpu_is_named_with_shares() -> None:
    found = contention(
        looks(victim=5, hog=12.2, daemon=1.8, elsewhere=9),
        target=VICTIM,
        cpus=frozenset({2, 3}),
        machines=MACHINES,
        names=NAMES,
    )
    assert found.text == "shop/batch-7 (61%) and ksmd (9%) had the time of CPUs 2-3, of which it had 25% itself"
    assert [(gain.name, gain.virtual_machine) for gain in found.gains] == [("shop/batch-7", True), ("ksmd", False)]


def test_what_runs_on_other_cpus_is_not_blamed() -> None:
    found = contention(looks(elsewhere=10), target=VICTIM, cpus=frozenset({2, 3}), machines=MACHINES, names=NAMES)
    assert found.gains == ()
    assert found.text == ""


def test_time_counts_where_a_thread_was_seen_last() -> None:
    begin, end = looks(hog=4)
    moved = {**end.threads, HOG: Thread(HOG, 104.0, 0)}
    again = {**moved, HOG: Thread(HOG, 109.0, 2)}
    found = contention(
        [begin, Look(10.0, moved), Look(20.0, again)],
        target=VICTIM,
        cpus=frozenset({2}),
        machines=MACHINES,
        names=NAMES,
    )
    assert [(gain.name, gain.share) for gain in found.gains] == [("shop/batch-7", 0.25)]


def test_a_thread_whose_number_another_got_counts_for_nobody() -> None:
    begin, end = looks()
    reused = {**end.threads, HOG: Thread(ELSEWHERE, 500.0, 2)}
    found = contention([begin, Look(10.0, reused)], target=VICTIM, cpus=frozenset({2}), machines=MACHINES, names=NAMES)
    assert found.gains == ()


def test_processes_of_one_name_count_together_and_three_are_named() -> None:
    pids = range(100, 110)
    before = {pid: Thread(pid, 0.0, 1) for pid in pids}
    after = {pid: Thread(pid, 0.9, 1) for pid in pids}
    names = {pid: "worker" if pid < 104 else f"other-{pid}" for pid in pids}
    found = contention(
        [Look(0.0, before), Look(10.0, after)], target=VICTIM, cpus=frozenset({1}), machines={}, names=names
    )
    assert [gain.name for gain in found.gains] == ["worker", "other-104", "other-105"]
    assert found.gains[0].share == pytest.approx(0.36)


def test_without_two_looks_nobody_is_named() -> None:
    assert contention([], target=1, cpus=frozenset({0}), machines={}, names={}).gains == ()


@pytest.mark.parametrize(
    ("delay", "throttled", "own"), [(0.3, 0.0, False), (0.3, 0.1, False), (0.1, 0.3, True), (0.0, 0.0, False)]
)
def test_a_limit_of_its_own_blames_nobody_else(delay: float, throttled: float, own: bool) -> None:
    assert own_limit(delay=delay, throttled=throttled) is own


def test_lists_of_cpus_are_read_as_the_kernel_writes_them() -> None:
    assert read_cpu_list("0-2,8,10-11\n") == {0, 1, 2, 8, 10, 11}

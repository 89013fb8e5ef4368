"""The races, run by a clock that the contenders move themselves: nothing here measures time."""

from functools import partial
from itertools import cycle

import pytest

from odyssey.bench.race import Outcome, PythonCall, Rules, Spread, race, undisturbed

RULES = Rules(sample_seconds=1.0, min_rounds=3, max_rounds=10, seconds=1e9, steady=0.0)


class Clock:
    """Moves only when somebody works."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        """Take so long, and give the work's result."""
        self.now += seconds
        return seconds


@pytest.fixture
def clock():
    return Clock()


def worker(clock, name, seconds):
    return PythonCall(name, clock.work, (seconds,), clock=clock)


def quietly():
    return 0


def test_times_and_ratios_are_those_of_the_clock(clock):
    outcome = race([worker(clock, "ours", 0.25), worker(clock, "theirs", 0.5)], rules=RULES, preempted=quietly)
    assert outcome.seconds("ours") == Spread(0.25, 0.25, 0.25)
    assert outcome.ratio("theirs", "ours") == Spread(2.0, 2.0, 2.0)
    assert outcome.ratio("ours", "theirs").median == 0.5
    assert outcome.difference("theirs", "ours").median == 0.25
    assert outcome.fastest(["theirs", "ours", "absent"]) == "ours"
    assert outcome.fastest(["absent"]) is None


def test_ratios_are_taken_within_a_round():
    # The machine is twice as slow in the second round, for both alike: the ratio does not see it.
    outcome = Outcome({"ours": (1.0, 2.0, 1.0), "theirs": (3.0, 6.0, 3.0)}, {}, {})
    assert outcome.ratio("theirs", "ours") == Spread(3.0, 3.0, 3.0)
    assert outcome.seconds("theirs").high > outcome.seconds("theirs").median


def test_spread_is_the_median_and_the_quartiles():
    assert Spread.of([5.0]) == Spread(5.0, 5.0, 5.0)
    spread = Spread.of([1.0, 2.0, 3.0, 4.0, 100.0])
    assert spread == Spread(3.0, 2.0, 4.0)
    assert spread.relative == pytest.approx(2 / 3)


def test_samples_are_repeated_until_they_are_long_enough(clock):
    outcome = race([worker(clock, "fast", 0.001), worker(clock, "slow", 3.0)], rules=RULES, preempted=quietly)
    assert outcome.calls["fast"] >= 1000
    assert outcome.calls["slow"] == 1


def test_a_wrong_contender_is_refused_and_never_timed(clock):
    worked = []

    def wrong():
        worked.append(None)
        clock.work(1.0)
        return "nonsense"

    def check(name, result):
        return None if result == 1.0 else f"found {result}"

    contenders = [worker(clock, "ours", 1.0), PythonCall("theirs", wrong, clock=clock)]
    outcome = race(contenders, check, RULES, preempted=quietly)
    assert outcome.refused == {"theirs": "found nonsense"}
    assert set(outcome.samples) == {"ours"}
    assert len(worked) == 1


def test_nobody_is_timed_when_we_are_wrong(clock):
    contenders = [worker(clock, "ours", 1.0), worker(clock, "theirs", 2.0)]
    outcome = race(contenders, lambda name, result: "wrong" if name == "ours" else None, RULES)
    assert outcome.samples == {}
    assert outcome.refused == {"ours": "wrong"}
    assert clock.now == 3.0  # one call each, to be checked


def test_a_contender_that_raises_is_refused_with_its_reason(clock):
    def broken():
        raise ZeroDivisionError("no rows")

    outcome = race([worker(clock, "ours", 1.0), PythonCall("theirs", broken)], lambda *_: None, RULES)
    assert outcome.refused == {"theirs": "ZeroDivisionError: no rows"}
    assert set(outcome.samples) == {"ours"}


def test_rounds_end_when_the_ratios_are_steady(clock):
    steady = Rules(sample_seconds=1.0, min_rounds=4, max_rounds=10, seconds=1e9, steady=0.01)
    outcome = race([worker(clock, "ours", 1.0), worker(clock, "theirs", 2.0)], rules=steady, preempted=quietly)
    assert outcome.rounds == 4

    restless = cycle([1.0, 2.0, 3.0, 5.0, 8.0])
    unsteady = PythonCall("theirs", lambda: clock.work(next(restless)), clock=clock)
    assert race([worker(clock, "ours", 1.0), unsteady], rules=steady, preempted=quietly).rounds == 10


def test_rounds_end_when_the_time_is_spent(clock):
    rules = Rules(sample_seconds=1.0, min_rounds=2, max_rounds=100, seconds=10.0, steady=-1.0)
    assert race([worker(clock, "ours", 2.0)], rules=rules, preempted=quietly).rounds == 5


def test_every_contender_has_its_turn_first(clock):
    order = []

    def note(name):
        order.append(name)
        clock.work(1.0)

    names = ["a", "b", "c"]
    rules = Rules(sample_seconds=1.0, min_rounds=3, max_rounds=3)
    race([PythonCall(name, note, (name,), clock=clock) for name in names], rules=rules, preempted=quietly)
    rounds = order[-18:]  # three rounds of three contenders, each with a call to warm up
    assert rounds == [name for turn in ("abc", "bca", "cab") for name in turn for _ in range(2)]


def test_a_disturbed_sample_is_taken_again():
    counts = iter([0, 1, 1, 1])  # the first sample is interrupted, the second is not
    samples = iter([9.0, 2.0])
    assert undisturbed(partial(next, samples), partial(next, counts)) == (2.0, False)


def test_a_sample_disturbed_at_every_try_is_the_shortest_and_is_counted(clock):
    interruptions = iter(range(1_000_000))
    samples = iter([4.0, 3.0, 5.0, 6.0])
    assert undisturbed(partial(next, samples), partial(next, interruptions)) == (3.0, True)
    outcome = race([worker(clock, "ours", 1.0)], rules=RULES, preempted=partial(next, interruptions))
    assert outcome.disturbed == {"ours": outcome.rounds}


def test_a_call_is_timed_with_its_keywords_and_without_its_partial():
    seen = []

    def function(*args, **kwargs):
        seen.append((args, kwargs))

    call = PythonCall("call", partial(partial(function, 1, out="a"), 2), (3,), {"axis": 0})
    call.sample(2)
    assert seen == [((1, 2, 3), {"out": "a", "axis": 0})] * 2
    assert call._function is function


def test_the_surroundings_are_entered_for_each_sample_and_left(clock):
    from contextlib import contextmanager

    inside = []

    @contextmanager
    def around():
        inside.append(True)
        clock.work(100.0)
        yield
        inside.pop()

    call = PythonCall("call", lambda: clock.work(1.0) if inside else None, around=around, clock=clock)
    assert call.sample(3) == 3.0
    assert call.result() == 1.0
    assert inside == []

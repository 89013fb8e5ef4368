"""Which way across: each is chosen somewhere, and the reason has the figures it was chosen by."""

import doctest
from dataclasses import replace

import pytest

from odyssey.bridge import choose, choosing
from odyssey.bridge.choosing import COSTS

CASES = [
    ({}, "direct"),
    ({"across": "thread"}, "direct"),
    ({"across": "language"}, "direct"),
    ({"streaming": True}, "stream"),
    ({"streaming": True, "across": "thread"}, "stream"),
    ({"nested": True}, "proto"),
    ({"nested": True, "across": "language"}, "proto"),
    ({"nested": True, "across": "process"}, "proto"),
    ({"across": "process"}, "shared"),
    ({"across": "process", "nbytes": 100}, "proto"),
    ({"across": "process", "nbytes": 1 << 30}, "shared"),
    ({"across": "process", "nbytes": 1 << 30, "nested": True}, "shared"),
    ({"loop": True}, "jit"),
    ({"loop": 10**9}, "jit"),
    ({"loop": 10**6}, "jit"),
    ({"loop": 10}, "direct"),
    ({"loop": 10**9, "across": "process", "nbytes": 1 << 20}, "shared"),
]


@pytest.mark.parametrize(("given", "pattern"), CASES, ids=str)
def test_the_way_that_fits_is_chosen_and_says_why(given, pattern):
    choice = choose(**given)
    assert choice.pattern == pattern
    assert str(choice) == f"{pattern}: {choice.reason}"
    assert len(choice.reason) > 20


def test_between_processes_the_sizes_cross_where_the_costs_do():
    crossing = (COSTS.hand_over - COSTS.message) / (1 / COSTS.message_rate + 1 / COSTS.pipe_rate)
    assert choose(across="process", nbytes=int(crossing * 0.99)).pattern == "proto"
    assert choose(across="process", nbytes=int(crossing * 1.01)).pattern == "shared"
    slow = replace(COSTS, hand_over=1.0)
    assert choose(across="process", nbytes=int(crossing * 1.01), costs=slow).pattern == "proto"


def test_a_loop_is_compiled_once_it_outlasts_the_start():
    steps = COSTS.compiled_start / (COSTS.step - COSTS.compiled_step)
    assert choose(loop=int(steps * 0.99)).pattern != "jit"
    assert choose(loop=int(steps * 1.01)).pattern == "jit"
    assert "at once" in choose(loop=10**9).reason
    assert "after" in choose(loop=10**6).reason


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"across": "planet"}, "'thread', 'process', 'language'"),
        ({"nbytes": -1}, "from 0 on"),
        ({"loop": -1}, "from 0 on"),
    ],
)
def test_what_cannot_be_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        choose(**given)


def test_the_examples_run():
    assert doctest.testmod(choosing).failed == 0

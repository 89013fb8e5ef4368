"""Every row of `odyssey.testing.cases` at its benchmark sizes: odyssey, and the peers that can do it."""

from functools import lru_cache

import numpy as np
import pytest

from odyssey import isa
from odyssey.bench.peers import absent
from odyssey.bench.suites import NOT_BUILT, OURS, Entry, Plan, is_available, sizes_of
from odyssey.testing.cases import CASES


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    against = metafunc.config.getoption("--against").split(",")
    plan = Plan(largest=metafunc.config.getoption("--largest"))
    metafunc.parametrize(
        ("op", "index", "who"),
        [
            pytest.param(case.op, case.bench.index(size), who, id=f"{case.op}-{_name(size)}-{who}")
            for case in CASES.values()
            for size in sizes_of(case, plan)
            for who in (OURS, *(peer for peer in case.peers if peer in against))
        ],
    )


@pytest.mark.benchmark(max_time=0.3, min_rounds=5, warmup=True, warmup_iterations=2)
def test_op(benchmark, count: int, op: str, index: int, who: str) -> None:
    if not is_available(CASES[op]):
        pytest.skip(NOT_BUILT)
    if who != OURS and (why := absent(who)):
        pytest.skip(why)
    with np.errstate(all="ignore"):
        entry = prepared(op, index)
        contender = entry.ours(isa.active(), count) if who == OURS else next(entry.peers([who]), None)
        if contender is None:
            pytest.skip(f"{who} cannot do this")
        wrong = entry.check(who, contender.result())
        assert wrong is None, wrong
        benchmark.group = f"{op} {entry.shapes}"
        benchmark.extra_info |= {"threads": count, "isa": isa.active(), "flops": entry.work.flops}
        benchmark.extra_info["bytes"] = entry.work.nbytes
        benchmark(contender.function)


@lru_cache(maxsize=1)
def prepared(op: str, index: int) -> Entry:
    """Large inputs and their definition take longer than the race; the contenders of one size share them."""
    return Entry(CASES[op], CASES[op].bench[index], "float32")


def _name(size: object) -> str:
    return "x".join(map(_name, size)) if isinstance(size, tuple) else str(size)

"""Whatever fails, is cancelled or is broken off, at whatever moment: nothing hangs, is lost, comes twice, or stays behind."""

import asyncio
import contextlib
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from odyssey.bridge.stream import Failure, Stream

PATIENCE = 30


class Trouble(Exception):
    pass


def spin(turns):
    for _ in range(turns):
        pass


plans = st.fixed_dictionaries(
    {
        "count": st.integers(0, 25),
        "source_fails": st.none() | st.integers(0, 25),
        "work_fails": st.sets(st.integers(0, 25), max_size=3),
        "spins": st.lists(st.integers(0, 3000), min_size=1, max_size=5),
        "breaks": st.none() | st.integers(0, 25),
        "workers": st.integers(1, 4),
        "maxsize": st.integers(1, 6),
        "max_bytes": st.none() | st.integers(1, 64),
        "ordered": st.booleans(),
        "errors": st.sampled_from(["raise", "return"]),
        "asynchronous": st.booleans(),
    }
)


def stream_of(plan):
    def items():
        for number in range(plan["count"]):
            spin(plan["spins"][number % len(plan["spins"])])
            if number == plan["source_fails"]:
                raise Trouble("source", number)
            yield bytes([number] * 8)

    async def items_here():
        for item in items():
            await asyncio.sleep(0)
            yield item

    def work(batch):
        spin(plan["spins"][(7 * batch.batch_id) % len(plan["spins"])])
        if batch.batch_id in plan["work_fails"]:
            raise Trouble("work", batch.batch_id)
        return batch.x[0]

    names = ("workers", "maxsize", "max_bytes", "ordered", "errors")
    return Stream(items_here() if plan["asynchronous"] else items(), work, **{name: plan[name] for name in names})


def check(plan, found, error):
    numbers = [result.batch_id if isinstance(result, Failure) else result for result in found]
    assert len(set(numbers)) == len(numbers)
    assert not plan["ordered"] or numbers == list(range(len(numbers)))
    fails = {number for number in plan["work_fails"] if number < plan["count"]}
    end = plan["count"]
    if plan["source_fails"] is not None and plan["source_fails"] < end:
        end = plan["source_fails"]
        fails = {number for number in fails if number < end}
    if error is not None:
        where, number = error.args
        assert error.batch_id == number
        assert number == end if where == "source" else number in fails and plan["errors"] == "raise"
        if plan["ordered"] or where == "source":
            assert sorted(numbers) == list(range(number))
    elif plan["breaks"] is None or len(found) < plan["breaks"]:
        assert sorted(numbers) == list(range(plan["count"]))
        assert end == plan["count"]
        assert plan["errors"] == "return" or not fails


def no_threads():
    for thread in threading.enumerate():
        if thread.name.startswith("odyssey-stream"):
            thread.join(PATIENCE)
            assert not thread.is_alive()


@settings(deadline=None, max_examples=120)
@given(plans)
def test_by_an_iterator(plan):
    found, error = [], None
    try:
        for result in Stream([]) if plan["breaks"] == 0 else stream_of(plan):
            found.append(result)
            if len(found) == plan["breaks"]:
                break
    except Trouble as raised:
        error = raised
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("odyssey-stream")]
    if plan["breaks"] != 0:
        check(plan, found, error)


@settings(deadline=None, max_examples=120)
@given(plans, st.none() | st.integers(0, 40))
def test_by_a_coroutine_that_may_be_cancelled(plan, cancelled_after):
    found, errors = [], []

    async def consume():
        try:
            async with stream_of(plan) as stream:
                async for result in stream:
                    found.append(result)
                    if len(found) == plan["breaks"]:
                        break
        except Trouble as raised:
            errors.append(raised)

    async def main():
        task = asyncio.ensure_future(consume())
        if cancelled_after is not None:
            for _ in range(cancelled_after):
                await asyncio.sleep(0)
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    interrupted = asyncio.run(main())
    no_threads()
    if not interrupted:
        check(plan, found, errors[0] if errors else None)
    else:
        numbers = [result.batch_id if isinstance(result, Failure) else result for result in found]
        assert len(set(numbers)) == len(numbers)

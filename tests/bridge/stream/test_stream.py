"""A Stream gives every result once, in order, whatever its source, its consumer and the number of its workers."""

import asyncio
import contextlib
import contextvars
import doctest
import gc
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest

import odyssey as od
from odyssey.bridge.stream import Batch, Failure, Stats, Stream, nbytes, overlap, results

PATIENCE = 30  # seconds until a test that hangs fails
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("odyssey-stream")]


@pytest.fixture(autouse=True)
def joined():
    """After each test no thread of a stream is left."""
    assert not threads()
    yield
    if threads():
        gc.collect()
    for thread in threads():
        thread.join(PATIENCE)
    assert not threads()


def streamed(source, settings):
    return source if isinstance(source, Stream) and not settings else Stream(source, **settings)


def listed(source, **settings):
    return list(streamed(source, settings))


def gathered(source, **settings):
    async def gather():
        return [result async for result in streamed(source, settings)]

    return asyncio.run(gather())


def from_list(count):
    return list(range(count))


def from_generator(count):
    yield from range(count)


async def from_async_generator(count):
    for number in range(count):
        if number % 3 == 0:
            await asyncio.sleep(0)
        yield number


SOURCES = [from_list, from_generator, from_async_generator]
CONSUMERS = [listed, gathered]

everywhere = pytest.mark.parametrize("consume", CONSUMERS)
every_source = pytest.mark.parametrize("source", SOURCES)


@everywhere
@every_source
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("ordered", [True, False])
def test_every_result_comes_once_and_in_order_where_that_is_asked_for(consume, source, workers, ordered):
    found = consume(source(57), work=lambda batch: batch.x**2, workers=workers, ordered=ordered)
    assert (found if ordered else sorted(found)) == [number**2 for number in range(57)]


@everywhere
@every_source
@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_and_empty_sources_end(consume, source, count):
    assert consume(source(count), work=lambda batch: batch.x, workers=3) == list(range(count))


@everywhere
@every_source
def test_without_work_the_batches_come_through(consume, source):
    found = consume(source(4), maxsize=1)
    assert [(batch.x, batch.y, batch.batch_id) for batch in found] == [(n, None, n) for n in range(4)]
    assert [batch.timestamp for batch in found] == sorted(batch.timestamp for batch in found)


def test_pairs_and_batches_of_a_source_stay_what_they_are():
    own = Batch(1, 2, "mine", 0.5)
    found = listed([own, ("x", "y"), [7, 8], Batch(3)])
    assert found[0] is own
    assert [(batch.x, batch.y, batch.batch_id) for batch in found[1:]] == [
        ("x", "y", 1),
        ([7, 8], None, 2),
        (3, None, 3),
    ]


def test_a_stream_is_read_again_if_its_source_can_be():
    stream = Stream([1, 2, 3], lambda batch: batch.x)
    assert list(stream) == list(stream) == [1, 2, 3]
    assert list(Stream(stream, lambda batch: batch.x + 1)) == [2, 3, 4]
    assert gathered(stream, work=lambda batch: batch.x + 1) == [2, 3, 4]


def test_results_as_they_are_completed_overtake_a_slow_one():
    first = Event()

    def work(batch):
        if batch.x == 0:
            assert first.wait(PATIENCE)
        return batch.x

    stream = iter(Stream(range(4), work, maxsize=4, workers=2, ordered=False))
    assert [next(stream) for _ in range(3)] == [1, 2, 3]
    first.set()
    assert list(stream) == [0]


def test_results_in_order_wait_for_a_slow_one():
    first, last = Event(), Event()

    def work(batch):
        if batch.x == 0:
            assert first.wait(PATIENCE)
        if batch.x == 3:
            last.set()
        return batch.x

    stream = iter(Stream(range(4), work, maxsize=4, workers=2))
    assert last.wait(PATIENCE)  # three are done by the other worker
    first.set()
    assert list(stream) == [0, 1, 2, 3]


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_all_workers_work_at_once(workers):
    together = Barrier(workers, timeout=PATIENCE)

    def work(batch):
        together.wait()
        return batch.x

    assert listed(range(3 * workers), work=work, workers=workers) == list(range(3 * workers))


def test_loading_and_computing_go_on_at_the_same_time():
    loaded = [Event() for _ in range(5)]

    def source():
        for number in range(5):
            loaded[number].set()
            yield number

    def work(batch):
        assert loaded[min(batch.x + 1, 4)].wait(PATIENCE)  # the next batch is loaded while this one is worked on
        return batch.x

    assert listed(source(), work=work) == list(range(5))


@everywhere
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("work", [None, lambda batch: batch])
def test_no_more_batches_than_maxsize_are_in_flight(consume, asynchronous, work):
    stream, most = None, []

    def items():
        for number in range(40):
            most.append(stream.stats.in_flight)
            yield number

    async def items_here():
        for number in items():
            yield number

    stream = Stream(items_here() if asynchronous else items(), work, maxsize=3)
    assert len(consume(stream)) == 40
    assert max(most) <= 2  # when one more was asked for


def test_maxsize_batches_are_loaded_before_anyone_asks():
    loaded = []
    full = Event()

    def source():
        for number in range(10):
            loaded.append(number)
            if len(loaded) == 4:
                full.set()
            yield number

    stream = iter(Stream(source(), maxsize=4))
    assert full.wait(PATIENCE)
    assert loaded == [0, 1, 2, 3]
    assert next(stream).x == 0
    assert len(list(stream)) == 9


def test_a_limit_of_bytes_holds_the_source_back_and_lets_a_large_batch_travel_alone():
    stream, seen = None, []

    def source():
        for size in (10, 10, 100, 10, 10, 10):
            seen.append(stream.stats.bytes_in_flight)
            yield np.zeros(size, np.uint8)

    stream = Stream(source(), lambda batch: batch.x, maxsize=10, max_bytes=20)
    assert [len(result) for result in stream] == [10, 10, 100, 10, 10, 10]
    assert max(seen) < 20
    assert (stream.stats.bytes, stream.stats.bytes_in_flight) == (150, 0)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_limit_of_bytes_counts_results_once_they_are_made(asynchronous):
    made, seen = Event(), []

    def items():
        yield np.zeros(1, np.uint8)
        assert made.wait(PATIENCE)
        for _ in range(3):
            seen.append(stream.stats.bytes_in_flight)
            yield np.zeros(1, np.uint8)

    async def items_here():
        for item in items():
            yield item

    def work(batch):
        made.set()
        return np.zeros(1000, np.uint8)

    stream = Stream(items_here() if asynchronous else items(), work, maxsize=10, max_bytes=500)
    assert [result.nbytes for result in stream] == [1000] * 4
    assert stream.stats.bytes_in_flight == 0
    assert len(seen) == 3


# ---- failures -------------------------------------------------------------------------------------------------------


class Trouble(Exception):
    pass


class Packed(Exception):
    __slots__ = ()

    def __setattr__(self, name, value):
        raise AttributeError(name)


def failing_at(source, where):
    if source is from_async_generator:

        async def items():
            for number in itertools.count():
                if number == where:
                    raise Trouble(number)
                yield number
    else:

        def items():
            for number in itertools.count():
                if number == where:
                    raise Trouble(number)
                yield number

    return items()


def until_it_fails(consume, stream):
    """What came before the exception, and the exception."""
    found = []

    async def gather():
        async for result in stream:
            found.append(result)

    try:
        found.extend(stream) if consume is listed else asyncio.run(gather())
    except BaseException as raised:
        return found, raised
    pytest.fail("expected an exception, found none")


@everywhere
@every_source
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("where", [0, 1, 7])
@pytest.mark.parametrize("work", [None, lambda batch: batch])
def test_a_failing_source_fails_after_all_before_it(consume, source, ordered, where, work):
    stream = Stream(failing_at(source, where), work, workers=3, ordered=ordered)
    found, error = until_it_fails(consume, stream)
    assert sorted(batch.x for batch in found) == list(range(where))
    assert type(error) is Trouble
    assert error.batch_id == where
    assert error.__notes__ == [f"in the stream's source, at batch {where}"]
    assert not threads()


@everywhere
@every_source
@pytest.mark.parametrize("workers", [1, 3])
def test_a_failing_work_fails_in_its_place(consume, source, workers):
    def work(batch):
        if batch.x >= 5:
            raise Trouble(batch.x)
        return batch.x

    found, error = until_it_fails(consume, Stream(source(20), work, workers=workers))
    assert found == list(range(5))
    assert (type(error), error.batch_id, error.args) == (Trouble, 5, (5,))
    assert "in the stream's work, at batch 5" in error.__notes__
    assert not threads()


@everywhere
def test_failures_can_be_results(consume):
    def work(batch):
        if batch.x % 3 == 1:
            raise Trouble(batch.x)
        return batch.x

    stream = Stream(range(8), work, workers=2, errors="return")
    found = consume(stream)
    assert [result.batch_id for result in found if isinstance(result, Failure)] == [1, 4, 7]
    assert [result for result in found if not isinstance(result, Failure)] == [0, 2, 3, 5, 6]
    assert isinstance(found[1].error, Trouble)


def test_a_failing_source_raises_where_failures_are_results():
    found, error = until_it_fails(listed, Stream(failing_at(from_generator, 2), lambda b: b.x, errors="return"))
    assert (found, type(error)) == ([0, 1], Trouble)


@everywhere
@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError])
def test_what_would_end_the_loop_in_silence_is_a_runtime_error(consume, kind):
    def work(batch):
        raise kind

    found, error = until_it_fails(consume, Stream(range(3), work))
    assert found == []
    assert type(error) is RuntimeError
    assert type(error.__cause__) is kind
    assert error.batch_id == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, TimeoutError, Packed])
def test_any_exception_of_work_arrives_as_itself(kind):
    def work(batch):
        raise kind

    found, error = until_it_fails(listed, Stream(range(3), work))
    assert (found, type(error)) == ([], kind)


def test_a_source_that_cannot_begin_fails_at_the_consumer():
    class Closed:
        def __iter__(self):
            raise OSError("no such file")

    found, error = until_it_fails(listed, Stream(Closed(), lambda batch: batch))
    assert (found, type(error), error.batch_id) == ([], OSError, 0)


def test_a_source_that_somebody_cancels_fails_at_the_consumer():
    async def cancelled():
        yield 1
        raise asyncio.CancelledError

    for consume in CONSUMERS:
        found, error = until_it_fails(consume, Stream(cancelled()))
        assert ([batch.x for batch in found], type(error)) == ([1], RuntimeError)


# ---- ending early ---------------------------------------------------------------------------------------------------


@every_source
def test_breaking_off_joins_the_threads(source):
    if source is from_list:
        pytest.skip("a list is no endless source")
    if source is from_generator:

        def endless():
            yield from itertools.count()
    else:

        async def endless():
            for number in itertools.count():
                yield number

    for result in Stream(endless(), lambda batch: batch.x, workers=3):
        assert result < 5
        if result == 4:
            break
    assert not threads()


@every_source
def test_closing_joins_the_threads_and_ends_the_iteration(source):
    with Stream(source(1000), lambda batch: batch.x, workers=2) as stream:
        found = iter(stream)
        assert next(found) == 0
        assert not found.closed
    assert found.closed
    assert list(found) == []
    assert not threads()
    with iter(stream if source is from_list else Stream(source(3), lambda batch: batch.x)) as again:
        assert next(again) == 0
    again.close()
    assert not threads()


def test_the_generator_of_a_source_is_ended_by_the_thread_that_began_it():
    where = []

    class Source:
        def __iter__(self):
            try:
                yield from itertools.count()
            finally:
                where.append(threading.current_thread().name)
                raise Trouble  # as in a generator that is forgotten, nobody hears of it

    stream = iter(Stream(Source()))
    next(stream)
    stream.close()
    assert where == ["odyssey-stream-loader"]
    mine = iter(range(100))
    generator = (number for number in mine)
    for _ in Stream(generator, maxsize=1):
        break
    assert next(generator) < 5  # a generator that the user made stays open


def test_the_async_generator_of_a_source_is_ended():
    ended = []

    class Source:
        async def __aiter__(self):
            try:
                for number in itertools.count():
                    yield number
            finally:
                ended.append(True)

    for consumed in range(2):
        stream = iter(Stream(Source(), lambda batch: batch.x))
        for _ in range(consumed):
            next(stream)
        stream.close()

    async def main():
        async with Stream(Source(), lambda batch: batch.x) as stream:
            async for _ in stream:
                break
        async with aiter(Stream(Source())) as found:
            await anext(found)
        assert found.closed
        await found.aclose()

    asyncio.run(main())
    assert len(ended) >= 3


def test_close_waits_for_no_longer_than_it_is_told():
    going, begun = Event(), Event()

    def work(batch):
        begun.set()
        assert going.wait(PATIENCE)

    stream = iter(Stream([1], work))
    assert begun.wait(PATIENCE)
    with pytest.raises(TimeoutError, match=r"found at work: odyssey-stream-0"):
        stream.close(timeout=0.01)
    assert not stream.closed
    going.set()
    stream.close()
    assert stream.closed


def test_aclose_waits_for_no_longer_than_it_is_told():
    going, begun = Event(), Event()

    def work(batch):
        begun.set()
        assert going.wait(PATIENCE)

    async def main():
        stream = Stream([1], work)
        found = aiter(stream)
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        with pytest.raises(TimeoutError, match=r"found at work: odyssey-stream-0"):
            await stream.aclose(timeout=0.01)
        going.set()
        await stream.aclose()
        assert found.closed

    asyncio.run(main())


def test_a_stream_whose_work_never_returns_is_not_waited_for_when_it_is_forgotten(monkeypatch):
    monkeypatch.setattr(results, "GRACE", 0.01)
    going = Event()
    stream = iter(Stream([1], lambda batch: going.wait(PATIENCE)))
    with pytest.warns(ResourceWarning, match="has not returned"):
        del stream
    going.set()


def test_work_may_close_its_own_stream():
    box = []
    ready = Event()

    def work(batch):
        assert ready.wait(PATIENCE)
        box[0].close()
        return batch.x

    box.append(iter(Stream(range(10), work)))
    ready.set()
    for thread in threads():
        thread.join(PATIENCE)
    assert list(box.pop()) == []


def test_ctrl_c_while_waiting_ends_the_run(monkeypatch):
    going = Event()
    stream = iter(Stream([1], lambda batch: going.wait(PATIENCE)))

    class Interrupted:
        """Results, for which somebody waits at the very moment when Ctrl-C is pressed."""

        def put(self, message):
            results.put(message)

        def empty(self):
            return True

        def get(self, timeout):
            going.set()
            signal.raise_signal(signal.SIGINT)
            return results.get(timeout=timeout)

    results = stream._run.results
    monkeypatch.setattr(stream._run, "results", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert stream.closed
    assert not threads()


def test_a_failing_status_callback_ends_the_run():
    def status(stats):
        raise Trouble

    stream = iter(Stream(range(5), on_status=status, status_seconds=0))
    with pytest.raises(Trouble):
        next(stream)
    assert not threads()


@pytest.mark.source
def test_the_interpreter_ends_while_a_stream_runs():
    code = (
        "import itertools\nfrom odyssey.bridge.stream import Stream\n"
        "stream = iter(Stream(itertools.count(), lambda batch: batch.x, workers=2))\nassert next(stream) == 0\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], timeout=PATIENCE, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


# ---- waiting --------------------------------------------------------------------------------------------------------


def test_a_timeout_says_what_is_going_on_and_one_may_go_on_waiting():
    going = Event()

    def work(batch):
        assert going.wait(PATIENCE)
        return batch.x

    stream = iter(Stream([7], work, timeout=0.01))
    with pytest.raises(
        TimeoutError, match=r"expected batch 0 within 0.01 s, found none; 1 batches are in flight, 0 of"
    ):
        next(stream)
    going.set()
    found = []
    while not stream.closed:
        with contextlib.suppress(TimeoutError):
            found += stream
    assert found == [7]


def test_a_timeout_for_a_source_that_gives_nothing():
    going = Event()

    def source():
        assert going.wait(PATIENCE)
        yield 1

    stream = iter(Stream(source(), timeout=0.01))
    with pytest.raises(TimeoutError, match="the source gives none"):
        next(stream)
    going.set()
    stream.close()


def test_a_timeout_and_a_cancelled_wait_lose_nothing_in_a_coroutine():
    going = Event()

    def work(batch):
        assert going.wait(PATIENCE)
        return batch.x

    async def main():
        stream = aiter(Stream(range(3), work, timeout=0.01))
        with pytest.raises(TimeoutError, match=r"expected batch 0 within 0.01 s"):
            await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        going.set()
        found = []
        while not found or found[-1] != 2:
            try:
                found.append(await anext(stream))
            except TimeoutError:
                continue
        assert found == [0, 1, 2]
        await stream.aclose()

    asyncio.run(main())


def test_others_on_the_loop_have_their_turns_though_results_are_always_ready(monkeypatch):
    monkeypatch.setattr(results, "TURN", -1.0)
    turns = []

    async def other():
        while True:
            turns.append(None)
            await asyncio.sleep(0)

    async def main():
        task = asyncio.ensure_future(other())
        async for _ in Stream(range(50), lambda batch: batch.x):
            pass
        task.cancel()

    asyncio.run(main())
    assert len(turns) >= 50


def test_a_stream_that_is_forgotten_in_a_coroutine_ends_by_itself():
    async def main():
        async for result in Stream(itertools.count(), lambda batch: batch.x, workers=2):
            if result == 3:
                break
        return threads()

    for thread in asyncio.run(main()):
        thread.join(PATIENCE)
    assert not threads()


def test_a_loop_that_is_closed_does_not_hold_its_stream_up():
    going = Event()

    def work(batch):
        assert going.wait(PATIENCE)

    async def main():
        stream = aiter(Stream(from_async_generator(5), work))
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        return stream

    stream = asyncio.run(main())
    going.set()
    stream._run.waiter = stream._run.loop.create_future()  # as if it still waited
    stream._run.cancel()
    del stream


# ---- one consumer, one process --------------------------------------------------------------------------------------


def test_a_second_consumer_is_refused():
    going = Event()
    stream = iter(Stream([1], lambda batch: going.wait(PATIENCE)))
    first = threading.Thread(target=lambda: next(stream))
    first.start()
    while not stream._taking.locked():
        pass
    with pytest.raises(RuntimeError, match="expected one consumer at a time"):
        next(stream)
    going.set()
    first.join(PATIENCE)
    stream.close()


def test_a_fork_of_the_consumer_is_told_and_may_begin_anew():
    stream = Stream(range(10), lambda batch: batch.x)
    found = iter(stream)
    assert next(found) == 0
    child = os.fork()
    if not child:
        code = 1
        try:
            next(found)
        except RuntimeError as error:
            again = list(stream)
            found.close()
            results._forget(found._run, True)
            code = 0 if "found a fork" in str(error) and again == list(range(10)) else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(found) == list(range(1, 10))


# ---- counting -------------------------------------------------------------------------------------------------------


def test_counters_add_up():
    told = []
    stream = Stream(
        (np.zeros(8, np.uint8) for _ in range(10)), lambda batch: batch.x, 4, 2, on_status=told.append, status_seconds=0
    )
    assert stream.stats == Stats()
    assert len(list(stream)) == 10
    stats = stream.stats
    assert (stats.loaded, stats.done, stats.taken, stats.in_flight, stats.failed, stats.bytes) == (10, 10, 10, 0, 0, 80)
    assert stats.elapsed > 0
    assert min(stats.loading, stats.computing, stats.source_waited, stats.workers_waited, stats.consumer_waited) >= 0
    assert stream.stats.elapsed == stats.elapsed
    assert [one.taken for one in told] == [*range(1, 11), 10]
    assert stats.workers == 2
    assert isinstance(stats.overlap, float)
    assert iter(stream).stats.loaded >= 0


def test_failures_are_counted():
    stream = Stream(range(3), lambda batch: batch.x // 0, errors="return")
    assert [type(result.error) for result in stream] == [ZeroDivisionError] * 3
    assert stream.stats.failed == 3


def test_status_is_told_no_more_often_than_asked():
    told = []
    assert len(list(Stream(range(50), on_status=told.append, status_seconds=3600))) == 50
    assert [one.taken for one in told] == [50]


def test_overlap_of_nothing_is_nothing():
    assert overlap(0.0, 1.0, 1.0) == 0.0
    assert Stats().overlap == 0.0


def test_bytes_of_values():
    assert nbytes((b"ab", bytearray(3), [np.zeros(2)], {"a": np.zeros(1, np.uint8)}, "text", None)) == 22


def test_work_runs_in_the_consumers_context():
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(7)

    def source():
        yield variable.get()

    assert listed(source(), work=lambda batch: (batch.x, variable.get())) == [(7, 7)]


def test_kernels_in_several_workers_give_the_same_bits():
    arrays = [np.random.default_rng(seed).normal(size=(64, 256)).astype(np.float32) for seed in range(12)]
    for workers in (1, 4):
        found = listed(arrays, work=lambda batch: od.softmax(batch.x), workers=workers)
        assert all(np.array_equal(mine, od.softmax(array)) for mine, array in zip(found, arrays, strict=True))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"source": 7}, TypeError, "expected a source to iterate over, found int"),
        ({"source": from_generator}, TypeError, "a function that yields"),
        ({"work": 7}, TypeError, "expected work to be called with a Batch, found int"),
        ({"workers": 0}, ValueError, "expected workers to be 1 or more, found 0"),
        ({"maxsize": 0}, ValueError, "expected maxsize"),
        ({"max_bytes": 0}, ValueError, "expected max_bytes"),
        ({"timeout": 0}, ValueError, "expected timeout to be more than 0 seconds"),
        ({"errors": "ignore"}, ValueError, "expected errors to be 'raise' or 'return', found 'ignore'"),
    ],
)
def test_wrong_arguments_are_explained(arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        Stream(**{"source": [1], **arguments})


@pytest.mark.parametrize("module", ["batch", "stats", "stream"])
def test_the_examples_in_docstrings_run(module):
    assert doctest.testmod(import_module(f"odyssey.bridge.stream.{module}")).failed == 0


GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "stream.md"


@pytest.mark.source
@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not beside the tests")
def test_the_examples_of_the_guide_run():
    text = GUIDE.read_text()
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", text, re.S)
    assert len(blocks) == text.count("```python") >= 3
    names = {}
    for block in blocks:
        exec(block, names)

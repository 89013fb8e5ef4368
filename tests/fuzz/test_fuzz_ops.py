"""Every row of the table against its definition, over layouts, shapes, types, options and `out` that nobody chose.

A call is drawn from its row and then, perhaps, spoilt in one way. Both must give the same result within the row's
tolerance, or refuse with the same kind of error; and the fast one writes nothing but what it should.
"""

import builtins
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, note, seed
from hypothesis import strategies as st
from layouts import place, repeated
from rounds import ROUND

import odyssey
from odyssey import reference
from odyssey.errors import LayoutError, OdysseyError
from odyssey.testing import CASES, Call, Sample

BUILTIN = {one for one in vars(builtins).values() if isinstance(one, type) and issubclass(one, Exception)}
OTHER_TYPES = [
    "float16",
    "longdouble",
    "int32",
    "int64",
    "uint8",
    "bool",
    "complex64",
    ">f4",
    ">f8",
    "float32",
    "float64",
]
LARGEST = 4096  # elements that a spoilt argument may have


def outcome(case, ops, call):
    """The results of a call, or what it was refused with."""
    try:
        with np.errstate(all="ignore"):
            return case.run(ops, call), None
    except Exception as error:
        return None, error


def alike(one, other):
    """Both of the same class where both are ours, else of one builtin class."""
    if isinstance(one, OdysseyError) and isinstance(other, OdysseyError):
        return type(one) is type(other)
    return bool(set(type(one).__mro__) & set(type(other).__mro__) & (BUILTIN - {Exception, RuntimeError, LookupError}))


def arrays_of(call):
    named = [*enumerate(call.args), *call.kwargs.items()]
    return [where for where, value in named if isinstance(value, np.ndarray)]


def at(call, where):
    return call.args[where] if isinstance(where, int) else call.kwargs[where]


def as_writeable(call):
    """The same arrays anew, as writeable as they were."""
    fresh = call.fresh()
    for where in arrays_of(call):
        at(fresh, where).flags.writeable = at(call, where).flags.writeable
    return fresh


def changed(call, where, value):
    if isinstance(where, int):
        return Call((*call.args[:where], value, *call.args[where + 1 :]), call.kwargs)
    return Call(call.args, {**call.kwargs, where: value})


# ---- ways to spoil a call ---------------------------------------------------------------------------------------------


def another_shape(draw, call):
    where = draw(st.sampled_from(arrays_of(call)))
    array = at(call, where)
    shape = list(array.shape)
    how = draw(st.sampled_from(["length", "drop", "add"]))
    if how == "add" or not shape:
        shape.insert(draw(st.integers(0, len(shape))), draw(st.sampled_from([1, 1, 2, 0])))
    elif how == "drop":
        shape.pop(draw(st.integers(0, len(shape) - 1)))
    else:
        axis = draw(st.integers(0, len(shape) - 1))
        shape[axis] = draw(st.sampled_from([0, 1, 2, shape[axis] + 1, max(shape[axis] - 1, 0)]))
    if np.prod(shape) > LARGEST:
        return call
    values = np.resize(array, shape) if array.size else np.zeros(shape, array.dtype)
    return changed(call, where, values.astype(array.dtype))


def another_type(draw, call):
    where = draw(st.sampled_from(arrays_of(call)))
    with np.errstate(all="ignore"):
        return changed(call, where, at(call, where).astype(draw(st.sampled_from(OTHER_TYPES))))


def another_number(draw, call):
    """An integer, or one of a tuple of them, between -3 and 5; a word nobody knows."""
    named = [*enumerate(call.args), *call.kwargs.items()]
    kinds = (int, str, tuple)
    found = [where for where, value in named if isinstance(value, kinds) and not isinstance(value, bool)]
    if not found:
        return call
    where = draw(st.sampled_from(found))
    value = at(call, where)
    if isinstance(value, str):
        return changed(call, where, "nothing")
    if isinstance(value, tuple) and value:
        place = draw(st.integers(0, len(value) - 1))
        if draw(st.integers(0, 4)) == 0:
            return changed(call, where, value[:place] + value[place + 1 :])
        return changed(call, where, (*value[:place], draw(st.integers(-3, 5)), *value[place + 1 :]))
    return changed(call, where, draw(st.integers(-3, 5)))


def read_only(draw, call):
    """The array that it writes is not to be written; of a call that writes none, an input, which does no harm."""
    where = draw(st.sampled_from(arrays_of(call)))
    array = at(call, where).copy()
    array.flags.writeable = False
    return changed(call, where, array)


SPOILERS = {"shape": another_shape, "dtype": another_type, "number": another_number, "read-only": read_only}


def an_out(draw, expected, inputs):
    """Memory for the result, good or not: its kind and the array."""
    kind = draw(st.sampled_from(["placed", "placed", "in place", "shifted", "shape", "dtype", "read-only"]))
    fitting = [x for x in inputs if x.shape == expected.shape and x.dtype == expected.dtype and x.flags.writeable]
    if kind in ("in place", "shifted") and not fitting:
        kind = "placed"
    if kind == "in place":
        return kind, draw(st.sampled_from(fitting))
    if kind == "shifted":  # over an input, a step aside
        x = draw(st.sampled_from(fitting))
        return kind, (x[::-1] if x.ndim else x)
    blank = np.full(expected.shape, 77, expected.dtype)
    if kind == "shape":
        return kind, np.full((*expected.shape, 2), 77, expected.dtype)
    if kind == "dtype":
        return kind, blank.astype("int32" if expected.dtype != np.int32 else "float32")
    if kind == "read-only":
        blank.flags.writeable = False
        return kind, blank
    return kind, blank


# ---- the test ---------------------------------------------------------------------------------------------------------


def one_call(case, draw):
    """A call of the row, perhaps spoilt, and where its arrays lie."""
    dtype = draw(st.sampled_from(case.dtypes))
    size, options = draw(st.sampled_from(case.sizes)), draw(st.sampled_from(case.options))
    sample = Sample(size, options, draw(st.sampled_from(case.regimes)), dtype)
    call = case.draw(sample, seed=draw(st.integers(0, 99)))
    spoilt = draw(st.sampled_from([None, None, None, *SPOILERS]))
    if spoilt is not None and arrays_of(call):
        call = SPOILERS[spoilt](draw, call)
    note(f"{case.op} {sample}, spoilt: {spoilt}")
    return call, spoilt


@pytest.mark.parametrize("op", list(CASES))
def test_any_call_gives_the_defined_result_or_the_same_error(op, rounds):
    case = CASES[op]
    seen = Counter()

    @ROUND
    @given(st.data())
    def fuzz(data):
        check(case, data.draw, seen)

    for number in rounds:
        seed(number)(fuzz)()
    print(op, dict(seen))


def check(case, draw, seen):
    given_call, _ = one_call(case, draw)
    written = {where for where in case.mutates if where < len(given_call.args)}
    placed, call = [], given_call
    for where in arrays_of(given_call):
        values = np.array(at(call, where))
        if where not in written and values.ndim and where != "out" and draw(st.integers(0, 5)) == 0:
            call = changed(call, where, repeated(draw, values))
            continue
        spot = place(draw, values)
        if where in written and not at(call, where).flags.writeable:
            spot.array.flags.writeable = False
        if where not in written and where != "out" and draw(st.booleans()):
            spot.array.flags.writeable = False
        placed.append(spot)
        call = changed(call, where, spot.array)
    before = call.fresh()
    expected, refusal = outcome(case, reference, as_writeable(call))
    note(
        f"arrays: {[(where, at(call, where).shape, at(call, where).dtype, at(call, where).strides) for where in arrays_of(call)]}"
    )
    note(f"others: {[value for value in call.args if not isinstance(value, np.ndarray)]} {dict(call.kwargs)}")

    kind, out = "none", None
    if (
        case.takes_out
        and "out" not in call.kwargs
        and expected is not None
        and len(expected) == 1
        and draw(st.booleans())
    ):
        kind, out = an_out(draw, expected[0], [at(call, where) for where in arrays_of(call)])
        if kind == "placed":
            placed.append(place(draw, out))
            out = placed[-1].array
        call = Call(call.args, {**call.kwargs, "out": out})
    found, error = outcome(case, odyssey, call)
    if isinstance(error, LayoutError) and "strided" not in case.layouts:
        found, error = outcome(case, odyssey, as_writeable(call))  # in place, it wants plain arrays, and says so
    note(
        f"out: {kind} {None if out is None else (out.shape, out.dtype, out.strides)}; fast {error!r}; reference {refusal!r}"
    )
    seen[f"{'refused' if error else 'computed'}"] += 1
    assert all(spot.intact() for spot in placed), "memory beside an array was written"

    if kind in ("shape", "dtype", "read-only"):
        assert isinstance(error, OdysseyError), f"out with the wrong {kind} was accepted"
        return
    if kind in ("in place", "shifted") and error is not None:
        assert isinstance(error, OdysseyError), f"out over an input raised {error!r}"
        return
    if refusal is not None or error is not None:
        assert refusal is not None, f"only the fast one refuses: {error!r}"
        assert error is not None, f"only the reference refuses: {refusal!r}"
        assert alike(error, refusal), f"fast raises {error!r}, the reference {refusal!r}"
        assert str(error), "an error says what is wrong"
        return
    deviation = case.measure(found, expected, before)
    assert deviation.passed, deviation.message
    if out is not None:
        assert found[0] is out or found[0].base is out or np.shares_memory(found[0], out) or out.size == 0

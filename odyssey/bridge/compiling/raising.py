"""The exceptions that compiled functions raise. Its text is part of each module, which needs nothing of odyssey's."""

KINDS = (
    None,
    (ZeroDivisionError, "division by zero"),
    (ValueError, "math domain error"),
    (OverflowError, "math range error"),
    (ValueError, "cannot convert float nan to an integer"),
    (OverflowError, "a number that does not fit into 64 bits as an integer"),
    (OverflowError, "a Python integer out of bounds for the NumPy type beside it"),
    (ValueError, "negative shift count"),
    (ValueError, "integers to negative integer powers are not allowed"),
    (ValueError, "an integer to a negative power is a float in Python, and a compiled function cannot tell before: "
                 "write float(x) ** y"),
    (ValueError, "a negative number to a fraction is complex in Python, and compiled functions know real numbers only"),
    (ZeroDivisionError, "0 cannot be raised to a negative power"),
    (MemoryError, "no memory for an array"),
    (ValueError, "negative dimensions are not allowed"),
    (IndexError, "{name}: index {index} is out of bounds for axis {axis} with size {size}"),
    (UnboundLocalError, "cannot access local variable '{name}' where it is not associated with a value"),
    (ValueError, "range() arg 3 must not be zero"),
    (RecursionError, "maximum recursion depth exceeded"),
)  # fmt: skip
RAISED = {
    one.__name__: one
    for one in (ValueError, IndexError, ZeroDivisionError, OverflowError, ArithmeticError, RuntimeError, TypeError,
                AssertionError, StopIteration, NotImplementedError, FloatingPointError, KeyError)
}  # fmt: skip


def make_error(kind, axis, index, size, row, places):  # type: ignore[no-untyped-def]
    """The exception for a place in a function: `row` is the function's number, the line in it, a name and a text."""
    function, line, name, message = row
    file, first, title = places[function]
    if name in RAISED and kind == len(KINDS):
        return RAISED[name](message) if message else RAISED[name]()
    error, text = KINDS[kind]  # type: ignore[misc]
    text = text.format(name=name, index=index, axis=axis, size=size)
    return error(f"{text}\n  in {title}, {file}:{first + line}")

"""One operation on the caller's own arguments, fast against reference."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from odyssey.errors import describe
from odyssey.testing.call import Call
from odyssey.testing.case import namespace
from odyssey.testing.cases import CASES

__all__ = ["assert_matches_reference"]


def assert_matches_reference(op: str | Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call `odyssey.<op>` and `odyssey.reference.<op>` with these arguments and compare within the row's tolerance.

    `op` is a name, or a function of one of the names, which is then called instead of odyssey's. The fast one gets the
    very arrays given, written in place where the operation writes; the reference works on copies made before.

    Raises:
        AssertionError: with the worst element, where it stands, both values, and the tolerance with its reason.
        KeyError: if `odyssey.testing.cases` has no row for `op`.

    >>> import odyssey as od
    >>> assert_matches_reference("exp", np.float32([0, 1, 2]))
    """
    name = op if isinstance(op, str) else op.__name__
    case = CASES[name]
    ops = namespace() if isinstance(op, str) else SimpleNamespace(**{name: op})
    call = Call(args, kwargs)
    before = call.fresh()
    expected = case.expect(call)
    deviation = case.measure(case.run(ops, call), expected, before)
    if not deviation.passed:
        given = {f"argument {number}": value for number, value in enumerate(args)} | kwargs
        raise AssertionError(
            f"{name}: {deviation.message}\n  {describe(**given)}\n  tolerance: {case.tolerance_text}. {case.why}"
        )

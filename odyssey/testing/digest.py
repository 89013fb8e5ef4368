"""One number for all the bits that all operations produce.

Two runs that differ in instruction set, thread count or machine must give the same digest. Where they do not,
`digests` says which operation is the culprit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from odyssey.testing.case import Case, namespace
from odyssey.testing.cases import select
from odyssey.typing import Array

__all__ = ["digest", "digests"]

DTYPES = ("float32", "float64")


def digest(case_names: Iterable[str] | None = None, dtypes: Iterable[str] = DTYPES, ops: Any = None) -> str:
    """The digest of these operations, all by default, from the namespace `ops`, `odyssey` by default.

    Inputs are drawn from seeds that the names alone decide, so the digest of an operation does not depend on which
    others run, or in which order.
    """
    total = hashlib.blake2b(digest_size=16)
    for name, own in sorted(digests(case_names, dtypes, ops).items()):
        total.update(f"{name} {own}\n".encode())
    return total.hexdigest()


def digests(case_names: Iterable[str] | None = None, dtypes: Iterable[str] = DTYPES, ops: Any = None) -> dict[str, str]:
    """A digest for each operation."""
    ops = namespace(ops)
    cases = select(None if case_names is None else tuple(case_names))
    return {case.op: _of_case(case, tuple(dtypes), ops) for case in cases}


def _of_case(case: Case, dtypes: tuple[str, ...], ops: Any) -> str:
    hashed = hashlib.blake2b(digest_size=16)
    for dtype in dtypes:
        if dtype not in case.dtypes:
            continue
        for sample in case.samples(dtype):
            hashed.update(str(sample).encode())
            with np.errstate(all="ignore"):
                results = case.run(ops, case.draw(sample))
            for result in results:
                hashed.update(f"{result.dtype}{result.shape}".encode())
                hashed.update(canonical(result).tobytes())
    return hashed.hexdigest()


def canonical(array: Array) -> Array:
    """The array with every NaN the same: which NaN comes out is the machine's choice, not the kernel's."""
    if array.dtype.kind != "f":
        return array
    return np.where(np.isnan(array), array.dtype.type(np.nan), array)

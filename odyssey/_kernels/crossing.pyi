"""Calls into C libraries without a detour."""

from collections.abc import Callable, Sequence
from typing import Any, Self, final

REGISTERS: tuple[int, int, int]
FIRST_REAL: int
FIRST_STACKED: int

def watch(function: Callable[..., tuple[list[Any], Callable[[], None]]] | None) -> None: ...

@final
class Function:
    name: str
    names: tuple[str, ...]
    def __new__(
        cls,
        name: str,
        doc: str,
        address: int,
        parameters: list[tuple[int, int, int, bool, int, Sequence[tuple[int, int]]]],
        result: tuple[int, int],
        releases: bool,
        convert: Callable[[int, object], object],
        refuse: Callable[[int, int, Sequence[int]], None],
        finish: Callable[[int], object] | None,
        names: tuple[str, ...],
        owner: object,
    ) -> Self: ...
    def callable(self) -> Any: ...

@final
class Calls:
    elements: int
    def __init__(self, function: Function, arguments: list[tuple[Any, ...]]) -> None: ...
    @staticmethod
    def of_arrays(
        function: Function,
        items: list[Any],
        layout: list[int],
        fixed: list[Any],
        inputs: int,
        result: str,
        take: Callable[[object, int, int], object],
        refuse: Callable[..., None],
        out: list[Any] | None,
    ) -> Calls: ...
    def __len__(self) -> int: ...
    def perform(self, chunk: int = 0) -> None: ...
    def results(self) -> list[Any]: ...

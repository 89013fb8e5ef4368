"""Which indices of a loop are inside their arrays for sure: proved once before the loop, not at every element.

`Prover` walks a loop with, for each integer, the least and the most it can be there, as expressions over what is known
before the loop runs. An index that both are known of becomes a condition, `0 <= least and most < length`, and if all
conditions hold the loop may run without those checks. They are exact or given up: an intermediate value of more than 64
bits makes the condition fail. What stays unknown (an index read from an array, one that a `while` counts up) is left to
be checked where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from odyssey.bridge.compiling.kinds import INT, ArrayKind, Scalar
from odyssey.bridge.compiling.tree import (
    Alloc,
    Arith,
    Assign,
    Call,
    Compare,
    Const,
    Convert,
    Dim,
    Evaluate,
    Expr,
    For,
    If,
    Keep,
    Load,
    Logic,
    Return,
    Row,
    Select,
    Stmt,
    Store,
    Unpack,
    Var,
    While,
    assigned,
    walk,
)

__all__ = ["Proof", "Prover"]

End: TypeAlias = int | str
"""A number, or the name of a variable that holds it before the loop."""
Ends: TypeAlias = tuple[End, End]
Checked: TypeAlias = Load | Store | Row

SMALL = {"int8": 8, "int16": 16, "int32": 32, "uint8": 8, "uint16": 16, "uint32": 32}
NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass
class Proof:
    """What to compute before a loop, the conditions, and the checks that need not be made where they hold."""

    lines: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    safe: set[tuple[int, int]] = field(default_factory=set)


class Prover:
    """One loop's proof.

    Args:
        name: gives a local variable's name in the text.
        fresh: makes a variable of 64 bits and gives its name.
        defined: the locals that have a value for sure before the loop.
        known: the flag that says whether all is exact.
    """

    def __init__(
        self, name: Callable[[str], str], fresh: Callable[[], str], defined: Callable[[str], bool], known: str
    ):
        self.name, self.fresh, self.defined, self.known = name, fresh, defined, known
        self.proof = Proof()
        self._made: dict[str, str] = {}
        self._env: dict[str, Ends | None] = {}
        self._lengths: dict[str, list[End | None] | None] = {}

    def prove(self, loop: For | While, safe: set[tuple[int, int]]) -> Proof:
        """What can be proved of this loop beyond what is safe already."""
        self._already = safe
        self._loop(loop)
        return self.proof

    # ---- the walk ----

    def _forget(self, body: Iterable[Stmt]) -> None:
        for name in assigned(body):
            self._env[name] = None
            self._lengths[name] = None

    def _block(self, body: Iterable[Stmt]) -> None:
        for node in body:
            if isinstance(node, Assign):
                self._expr(node.x)
                self._assign(node)
            elif isinstance(node, Unpack):
                self._expr(node.x)
                self._forget([node])
            elif isinstance(node, Store):
                self._expr(node.x)
                self._access(node)
            elif isinstance(node, If):
                self._branch(node)
            elif isinstance(node, (For, While)):
                self._loop(node)
            elif isinstance(node, (Return, Evaluate)):
                self._expr(node.x)

    def _assign(self, node: Assign) -> None:
        self._env[node.name] = self.ends(node.x) if node.x.kind == INT else None
        if isinstance(node.x, Row):
            lengths = self._shape(node.x.array)
            self._lengths[node.name] = None if lengths is None else lengths[len(node.x.index) :]
        elif isinstance(node.x, Var) and isinstance(node.x.kind, ArrayKind):
            self._lengths[node.name] = self._shape(node.x)
        elif isinstance(node.x, Alloc):
            found = [self.ends(length) for length in node.x.shape]
            self._lengths[node.name] = [None if ends is None else ends[0] for ends in found]
        elif not isinstance(node.x.kind, Scalar):
            self._lengths[node.name] = None

    def _branch(self, node: If) -> None:
        self._expr(node.condition)
        before, lengths = dict(self._env), dict(self._lengths)
        self._narrow(node.condition, True)
        self._block(node.body)
        self._env, self._lengths = dict(before), dict(lengths)
        self._narrow(node.condition, False)
        self._block(node.orelse)
        self._env, self._lengths = before, lengths
        self._forget([*node.body, *node.orelse])

    def _loop(self, node: For | While) -> None:
        if isinstance(node, While):
            self._forget([node])
            self._expr(node.condition)
            before = dict(self._env)
            self._narrow(node.condition, True)
            self._block(node.body)
            self._env = before
        else:
            for one in (node.start, node.stop, node.step):
                self._expr(one)
            start, stop = self.ends(node.start), self.ends(node.stop)
            self._forget([node])
            if node.target not in assigned(node.body):
                self._env[node.target] = self._range(start, stop, node.step)
            self._block(node.body)
        self._forget([node])
        self._block(node.orelse)
        self._forget(node.orelse)

    def _range(self, start: Ends | None, stop: Ends | None, step: Expr) -> Ends | None:
        if start is None or stop is None or not isinstance(step, Const):
            return None
        if step.value > 0:
            return start[0], self._difference(stop[1], 1)
        return self._sum(stop[0], 1), start[1]

    def _narrow(self, condition: Expr, holds: bool) -> None:
        """What a comparison of a variable says on the way where it holds, or where it does not."""
        if isinstance(condition, Logic) and condition.op == ("and" if holds else "or"):
            self._narrow(condition.a, holds)
            self._narrow(condition.b, holds)
        if not isinstance(condition, Compare) or condition.a.kind != INT or condition.b.kind != INT:
            return
        op = condition.op if holds else NEGATED[condition.op]
        swapped = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}[op]
        for side, sign, other in ((condition.a, op, condition.b), (condition.b, swapped, condition.a)):
            if isinstance(side, Var):
                own, limit = self.ends(side), self.ends(other)
                if own is not None and limit is not None:
                    self._env[side.name] = self._cut(own, sign, limit)

    def _cut(self, own: Ends, sign: str, limit: Ends) -> Ends:
        low, high = own
        if sign in ("<", "<=", "=="):
            high = self._choose("least", high, self._difference(limit[1], 1) if sign == "<" else limit[1])
        if sign in (">", ">=", "=="):
            low = self._choose("most", low, self._sum(limit[0], 1) if sign == ">" else limit[0])
        if sign == "!=" and limit[0] == limit[1] == low and isinstance(low, int):
            low += 1
        return low, high

    def _expr(self, x: Expr) -> None:
        """Look at the accesses in an expression."""
        for node in walk([x]):
            if isinstance(node, Keep):
                self._env[node.name] = self.ends(node.x) if node.kind == INT else None
            elif isinstance(node, (Load, Row)):
                self._access(node)

    def _access(self, node: Checked) -> None:
        if isinstance(node, Store):
            for one in node.index:
                self._expr(one)
        lengths = self._shape(node.array)
        if lengths is None:
            return
        for axis, one in enumerate(node.index):
            length = lengths[axis]
            if (id(node), axis) in self._already or length is None:
                continue
            ends = self.ends(one)
            if ends is None:
                continue
            low, high = ends
            if isinstance(low, int) and low < 0:
                continue  # counted from the end, at least sometimes: checked where it stands
            conditions = [] if isinstance(low, int) else [f"{low} >= 0"]
            if not (isinstance(high, int) and isinstance(length, int) and high < length):
                conditions.append(f"{high} < {length}")
            for condition in conditions:
                if condition not in self.proof.conditions:
                    self.proof.conditions.append(condition)
            self.proof.safe.add((id(node), axis))

    def _shape(self, array: Var) -> list[End | None] | None:
        """The array's lengths, as known before the loop."""
        if array.name in self._lengths:
            return self._lengths[array.name]
        if array.maybe or not self.defined(array.name) or not isinstance(array.kind, ArrayKind):
            return None
        return [f"{self.name(array.name)}.n{axis}" for axis in range(array.kind.ndim)]

    # ---- least and most ----

    def ends(self, x: Expr) -> Ends | None:
        """The least and the most an integer can be, or None where that is not known before the loop."""
        if isinstance(x, Const):
            return (int(x.value), int(x.value)) if not x.kind.floating else None
        if isinstance(x, Var):
            if x.name in self._env:
                return self._env[x.name]
            if x.kind != INT or x.maybe or not self.defined(x.name):
                return None
            return self.name(x.name), self.name(x.name)
        if isinstance(x, Dim):
            lengths = self._shape(x.array)
            length = None if lengths is None else lengths[x.axis]
            # Of an array made in the loop only the least length is known.
            return None if length is None or x.array.name in self._lengths else (length, length)
        if isinstance(x, Keep):
            return self.ends(x.x)
        if isinstance(x, Convert):
            return self._converted(x)
        if isinstance(x, Arith) and x.kind == INT:
            return self._arith(x)
        if isinstance(x, Call):
            return self._call(x)
        if isinstance(x, Select) and x.kind == INT:
            return self._hull(self.ends(x.a), self.ends(x.b))
        return None

    def _converted(self, x: Convert) -> Ends | None:
        if x.kind != INT:
            return None
        inner = x.x.kind
        assert isinstance(inner, Scalar)
        if inner.boolean:
            return 0, 1
        if inner.name in SMALL:
            bits = SMALL[inner.name]
            return (0, 2**bits - 1) if inner.name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return None

    def _arith(self, x: Arith) -> Ends | None:
        if x.op == "&" and isinstance(x.b, Const) and x.b.value >= 0:
            return 0, int(x.b.value)
        a, b = self.ends(x.a), self.ends(x.b)
        if a is None or b is None:
            return None
        if x.op == "+":
            return self._sum(a[0], b[0]), self._sum(a[1], b[1])
        if x.op == "-":
            return self._difference(a[0], b[1]), self._difference(a[1], b[0])
        if x.op == "*":
            return self._times(a, b)
        if x.op == ">>" and isinstance(x.b, Const):
            low, high = (self._shifted(end, int(x.b.value)) for end in a)
            return low, high
        return None

    def _call(self, x: Call) -> Ends | None:
        if x.function in ("ody_min_int64", "ody_max_int64"):
            a, b = self.ends(x.args[0]), self.ends(x.args[1])
            if a is None or b is None:
                return None
            word = "least" if "min" in x.function else "most"
            return self._choose(word, a[0], b[0]), self._choose(word, a[1], b[1])
        if x.function == "ody_mod_int":
            b = self.ends(x.args[1])
            if b is not None and isinstance(b[0], int) and b[0] > 0:
                return 0, self._difference(b[1], 1)
            # A rest by a negative number is negative; by zero there is none.
            return None if b is None else (self._choose("least", self._sum(b[0], 1), 0), self._choose(
                "most", self._difference(b[1], 1), 0))  # fmt: skip
        if x.function == "ody_floordiv_int" and isinstance(x.args[1], Const) and x.args[1].value > 0:
            a = self.ends(x.args[0])
            if a is not None:
                low, high = (self._divided(end, int(x.args[1].value)) for end in a)
                return low, high
        return None

    def _hull(self, a: Ends | None, b: Ends | None) -> Ends | None:
        if a is None or b is None:
            return None
        return self._choose("least", a[0], b[0]), self._choose("most", a[1], b[1])

    def _times(self, a: Ends, b: Ends) -> Ends:
        for one, other in ((a, b), (b, a)):
            if one[0] == one[1]:  # one factor is a single number
                low, high = self._product(one[0], other[0]), self._product(one[0], other[1])
                if isinstance(one[0], int):
                    return (low, high) if one[0] >= 0 else (high, low)
                return self._choose("least", low, high), self._choose("most", low, high)
        products = [self._product(one, other) for one in a for other in b]
        low = high = products[0]
        for product in products[1:]:
            low, high = self._choose("least", low, product), self._choose("most", high, product)
        return low, high

    def _keep(self, text: str) -> str:
        """A variable with this value, computed before the loop and once."""
        if text not in self._made:
            name = self.fresh()
            self.proof.lines.append(f"{name} = {text}")
            self._made[text] = name
        return self._made[text]

    def _exact(self, word: str, a: End, b: End) -> End:
        return self._keep(f"ody_{word}({a}, {b}, &{self.known})")

    def _sum(self, a: End, b: End) -> End:
        if isinstance(a, int) and isinstance(b, int):
            return self._whole(a + b)
        return b if a == 0 else a if b == 0 else self._exact("sum", a, b)

    def _difference(self, a: End, b: End) -> End:
        if isinstance(a, int) and isinstance(b, int):
            return self._whole(a - b)
        return a if b == 0 else self._exact("difference", a, b)

    def _product(self, a: End, b: End) -> End:
        if isinstance(a, int) and isinstance(b, int):
            return self._whole(a * b)
        if a == 0 or b == 0:
            return 0
        return b if a == 1 else a if b == 1 else self._exact("product", a, b)

    def _choose(self, word: str, a: End, b: End) -> End:
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b) if word == "least" else max(a, b)
        return a if a == b else self._keep(f"ody_{word}({a}, {b})")

    def _shifted(self, end: End, bits: int) -> End:
        return end >> bits if isinstance(end, int) else self._keep(f"({end} >> {bits})")

    def _divided(self, end: End, by: int) -> End:
        return end // by if isinstance(end, int) else self._keep(f"ody_floor_quotient({end}, {by})")

    def _whole(self, value: int) -> End:
        """A number that C can write; beyond 64 bits nothing holds."""
        if -(2**63) < value < 2**63:
            return value
        self.proof.lines.append(f"{self.known} = 0")
        return 0

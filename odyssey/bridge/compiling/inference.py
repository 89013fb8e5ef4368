"""From a function's syntax tree and its arguments' types to the typed form.

A round goes through the function and types each expression from what is in it; a variable's type is what all its
assignments have in common so far. Rounds repeat until no type changes: a type only ever grows, so that is soon.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from odyssey.bridge.compiling import tree
from odyssey.bridge.compiling.kinds import (
    BOOL,
    INT,
    NONE,
    UNKNOWN,
    ArrayKind,
    FunctionKind,
    Kind,
    NoneKind,
    Scalar,
    TupleKind,
    UnknownKind,
    join,
    numpy_default,
)
from odyssey.bridge.compiling.known import CALLS, HINTS, dtype_of, store_as
from odyssey.bridge.compiling.operators import (
    Refused,
    arith,
    coerce,
    compare,
    invert,
    is_pure,
    literal,
    logic,
    negate,
    scalar,
    truth,
)
from odyssey.bridge.compiling.source import MISSING, Source
from odyssey.bridge.compiling.tree import Const, Expr, Function, Keep, Stmt, Var
from odyssey.errors import CompileError

__all__ = ["Program"]

BINARY: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
COMPARED: dict[type, str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
EXCEPTIONS = (ValueError, IndexError, ZeroDivisionError, OverflowError, ArithmeticError, RuntimeError, TypeError,
              AssertionError, StopIteration, NotImplementedError, FloatingPointError, KeyError)  # fmt: skip
REMEDIES: dict[type, str] = {
    ast.ListComp: "write the loop out, over an array made by np.empty",
    ast.GeneratorExp: "write the loop out",
    ast.List: "an array, np.empty(n), or a tuple",
    ast.Dict: "arrays whose index is the key",
    ast.Set: "an array of flags",
    ast.Lambda: "a function decorated with jit",
    ast.FunctionDef: "move it out of the function and decorate it with jit",
    ast.Try: "test for what may go wrong before it does",
    ast.With: "open and close outside",
    ast.Import: "import outside of the function",
    ast.ImportFrom: "import outside of the function",
    ast.Global: "take it as an argument and return it",
    ast.Nonlocal: "take it as an argument and return it",
    ast.Slice: "loop over the elements, or hand over the part as an argument: f(a[1:])",
}
UNFINISHED = tree.Var("", UNKNOWN)
ROUNDS = 100


class Program:
    """The functions that one extension module holds: what is called, with all that it calls in turn."""

    def __init__(self) -> None:
        self.functions: dict[tuple[Any, ...], Function] = {}
        self._typing: list[tuple[Any, ...]] = []
        self._results: dict[tuple[Any, ...], tuple[Kind, frozenset[str]]] = {}
        self._assumed: set[tuple[Any, ...]] = set()

    def add(self, function: Any, kinds: Sequence[Kind]) -> Function:
        """The function typed for these arguments.

        Raises:
            CompileError: something in it, or in what it calls, cannot be compiled.
        """
        key = (function.__code__, *(id(cell) for cell in function.__closure__ or ()), *kinds)
        if key in self.functions:
            return self.functions[key]
        source = Source(function)
        if key in self._typing:  # it is being typed: it calls itself
            self._assumed.add(key)
            known, written = self._results.get(key, (UNKNOWN, frozenset()))
            parameters = list(zip(source.parameters, kinds, strict=True))
            return Function(source, parameters, known, symbol="?", written=set(written), recursive=True, loops=True)
        self._typing.append(key)
        before = set(self.functions)
        try:
            while True:
                typed = _Typing(self, source, kinds).run()
                found = typed.result, frozenset(typed.written)
                if key not in self._assumed or self._results.get(key) == found:
                    break
                # What it called was typed with less known of this one's result: once more, with what is known now.
                self._results[key] = found
                self.functions = {kept: self.functions[kept] for kept in before}
        finally:
            self._typing.remove(key)
        if isinstance(typed.result, UnknownKind):
            raise source.error(source.tree, "expected a way on which it returns without calling itself, found none")
        typed.recursive = key in self._assumed
        typed.symbol = f"{source.name}_{len(self.functions)}" if source.name.isascii() else f"f_{len(self.functions)}"
        self.functions[key] = typed
        return typed

    def link(self) -> None:
        """Point the calls that were typed before their target was finished at it."""
        by_tree = {(id(one.source.function.__code__), tuple(kind for _, kind in one.parameters)): one
                   for one in self.functions.values()}  # fmt: skip
        for one in self.functions.values():
            for call in _calls(one.body):
                if call.target.symbol == "?":
                    call.target = by_tree[
                        id(call.target.source.function.__code__), tuple(argument.kind for argument in call.args)
                    ]


def _calls(body: Iterable[Any]) -> Iterable[tree.JitCall]:
    for node in tree.walk(body):
        if isinstance(node, tree.JitCall):
            yield node


class _Typing:
    """One function, typed."""

    def __init__(self, program: Program, source: Source, kinds: Sequence[Kind]) -> None:
        self.program = program
        self.source = source
        self.locals = set(source.function.__code__.co_varnames)
        self.parameters = list(zip(source.parameters, kinds, strict=True))
        self.kinds: dict[str, Kind] = dict(self.parameters)
        self.literals: dict[str, list[Any] | None] = dict.fromkeys(source.parameters)
        self.origins: dict[str, set[str]] = {name: {name} for name in source.parameters}
        self.result: Kind | None = None
        self.flagged: set[str] = set()
        self.written: set[str] = set()
        self.changed = False
        self.loops = False

    def run(self) -> Function:
        """Rounds until nothing changes."""
        for _ in range(ROUNDS):
            self.changed = False
            self.hidden = 0
            self.unfinished = False
            self.without: tuple[str, ast.AST] | None = None
            self.assigned: set[str] | None = set(self.source.parameters)
            self.breaks: list[list[bool]] = []
            body = self.block(self.source.tree.body)
            if self.assigned is not None:
                self.returned(tree.Nothing(NONE), self.source.tree)
                body.append(tree.Return(tree.Nothing(NONE)))
            if not self.changed:
                break
        if self.without and not self.unfinished:
            raise self.fail(self.without[1], f"{self.without[0]} has no value here")
        result = self.result if self.result is not None else NONE
        return Function(
            self.source, self.parameters, result, variables=self.kinds, body=body, flagged=self.flagged,
            written=self.written & set(self.source.parameters), loops=self.loops,
        )  # fmt: skip

    # ---- variables ----

    def fail(self, node: ast.AST, problem: str, remedy: str = "") -> CompileError:
        return self.source.error(node, problem, remedy)

    def unsupported(self, node: ast.AST, what: str = "") -> CompileError:
        names = {ast.ListComp: "a list comprehension", ast.GeneratorExp: "a generator", ast.JoinedStr: "a string",
                 ast.Try: "try", ast.With: "with", ast.Dict: "a dict", ast.List: "a list", ast.Set: "a set",
                 ast.Lambda: "a lambda", ast.Slice: "a slice", ast.FunctionDef: "a function inside a function",
                 ast.ClassDef: "a class", ast.Import: "import", ast.ImportFrom: "import", ast.Yield: "yield",
                 ast.DictComp: "a dict comprehension", ast.SetComp: "a set comprehension", ast.Delete: "del",
                 ast.Starred: "*", ast.Global: "global", ast.Nonlocal: "nonlocal", ast.NamedExpr: ":=",
                 ast.Await: "await", ast.AsyncFor: "async for", ast.Match: "match"}  # fmt: skip
        what = what or names.get(type(node), type(node).__name__)
        return self.fail(node, f"{what} cannot be compiled", REMEDIES.get(type(node), ""))

    def assign(self, name: str, x: Expr, node: ast.AST) -> list[Stmt]:
        """Name = x: the variable's type grows, if it must."""
        kind = x.kind
        if isinstance(kind, NoneKind):
            raise self.fail(node, f"{name} would be None", "give it a number")
        constant = x.value if isinstance(x, Const) and x.kind.weak else None
        known = self.kinds.get(name, UNKNOWN)
        joined = self._join(name, known, kind, constant)
        if joined is None:
            raise self.fail(
                node, f"{name} is {known} before and {kind} here",
                "use two names" if isinstance(kind, (Scalar, ArrayKind)) else "",
            )  # fmt: skip
        if joined != known:
            self.kinds[name] = joined
            self.changed = True
        if isinstance(kind, Scalar) and kind.weak:
            seen = self.literals.setdefault(name, [])
            if constant is None:
                self.literals[name] = None
            elif seen is not None and constant not in seen:
                seen.append(constant)
        if isinstance(kind, ArrayKind):
            origins = self.origins.setdefault(name, set())
            more = self.origins.get(_array_of(x), set()) - origins
            if more:
                origins |= more
                self.changed = True
        if isinstance(kind, UnknownKind):
            return []
        if self.assigned is not None:
            self.assigned.add(name)
        target = self.kinds[name]
        return [tree.Assign(name, self.fit(x, target, node))]

    def _join(self, name: str, known: Kind, kind: Kind, constant: Any) -> Kind | None:
        if isinstance(known, Scalar) and isinstance(kind, Scalar) and known.weak and not kind.weak:
            seen = self.literals.get(name)
            if seen:  # so far literals alone: they take the strong type if all of them fit
                kinds = [join(known, kind, value) for value in seen]
                return kind if all(each == kind for each in kinds) else join(known, kind)
            return join(known, kind)
        return join(known, kind, constant)

    def fit(self, x: Expr, kind: Kind, node: ast.AST) -> Expr:
        """The value as its variable's type."""
        if x.kind == kind or isinstance(x.kind, UnknownKind):
            return x
        if isinstance(kind, Scalar):
            return coerce(x, kind, self.source.line(node))
        if isinstance(kind, TupleKind):
            return self._fit_tuple(x, kind, node)
        return x  # an array as one of any strides

    def _fit_tuple(self, x: Expr, kind: TupleKind, node: ast.AST) -> Expr:
        items = self.items_of(x, node)
        return tree.Tuple([self.fit(one, item, node) for one, item in zip(items, kind.items, strict=True)], kind)

    def hide(self, x: Expr) -> Keep:
        """The expression, kept under a name of our own."""
        return Keep(self.fresh(x.kind), x, scalar(x))

    def fresh(self, kind: Kind) -> str:
        """A name of our own; the same in each round."""
        self.hidden += 1
        name = str(self.hidden)  # which no name of the user's is
        if self.kinds.get(name) != kind:
            self.kinds[name] = kind
            self.changed = True
        return name

    def read(self, name: str, node: ast.AST) -> Expr:
        """A local variable's value."""
        kind = self.kinds.get(name, UNKNOWN)
        if isinstance(kind, FunctionKind):
            return tree.Callee(kind)
        maybe = self.assigned is not None and name not in self.assigned
        if isinstance(kind, UnknownKind):
            self.without = (name, node)
        elif maybe:
            self.flagged.add(name)
        return Var(name, kind, self.source.line(node), maybe)

    def items_of(self, x: Expr, node: ast.AST) -> list[Expr]:
        """A tuple's values."""
        assert isinstance(x.kind, TupleKind)
        if isinstance(x, tree.Tuple):
            return x.items
        if isinstance(x, Var):
            return [
                Var(f"{x.name}.{place}", kind, x.line, x.maybe and place == 0)
                for place, kind in enumerate(x.kind.items)
            ]
        raise self.fail(node, "expected a tuple with a name", "give the call's result a name first")

    # ---- statements ----

    def block(self, body: Sequence[ast.stmt]) -> list[Stmt]:
        """Statements one after the other; what is never reached is left out."""
        done: list[Stmt] = []
        for node in body:
            if self.assigned is None:
                break
            handler: Callable[[Any], list[Stmt]] | None = getattr(self, f"stmt_{type(node).__name__}", None)
            if handler is None:
                raise self.unsupported(node)
            try:
                done += handler(node)
            except Refused as refused:
                raise self.fail(node, f"{refused.problem} cannot be compiled", refused.remedy) from None
        return done

    def stmt_Pass(self, node: ast.Pass) -> list[Stmt]:
        return []

    def stmt_Expr(self, node: ast.Expr) -> list[Stmt]:
        if isinstance(node.value, ast.Constant) and (isinstance(node.value.value, str) or node.value.value is ...):
            return []  # a docstring, or an empty body
        x = self.expr(node.value)
        return [] if isinstance(x.kind, UnknownKind) else [tree.Evaluate(x)]

    def stmt_Assign(self, node: ast.Assign) -> list[Stmt]:
        x = self.expr(node.value)
        if len(node.targets) == 1:
            return self.bind(node.targets[0], x, node)
        done: list[Stmt] = []
        if isinstance(x.kind, Scalar) and not isinstance(x, Const):
            name = self.fresh(x.kind)
            done.append(tree.Assign(name, x))
            x = Var(name, x.kind)
        elif not isinstance(x, (Const, Var)):
            raise self.fail(node, "several targets of one array or tuple cannot be compiled", "assign one by one")
        for target in node.targets:
            done += self.bind(target, x, node)
        return done

    def stmt_AnnAssign(self, node: ast.AnnAssign) -> list[Stmt]:
        return self.bind(node.target, self.expr(node.value), node) if node.value else []

    def stmt_AugAssign(self, node: ast.AugAssign) -> list[Stmt]:
        line = self.source.line(node)
        op = BINARY.get(type(node.op))
        if op is None:
            raise self.fail(node, "@ cannot be compiled", "write the loop, or call it outside: od.matmul")
        if isinstance(node.target, ast.Name):
            old = self.read(node.target.id, node.target)
            return self.assign(node.target.id, self.binary(op, old, self.expr(node.value), line), node)
        if not isinstance(node.target, ast.Subscript):
            raise self.unsupported(node.target)
        array, index = self.subscript(node.target)
        done: list[Stmt] = []
        kept: list[Expr] = []
        for one in index:
            if is_pure(one):
                kept.append(one)
            else:
                name = self.fresh(one.kind)
                done.append(tree.Assign(name, one))
                kept.append(Var(name, one.kind))
        if isinstance(array.kind, UnknownKind):
            self.expr(node.value)
            return []
        assert isinstance(array.kind, ArrayKind)
        if len(kept) < array.kind.ndim:
            raise self.fail(node.target, "arithmetic of whole rows cannot be compiled", "loop over the elements")
        # The element is read first, as Python does, and the value may be a call that changes it.
        old = tree.Load(array, kept, line, array.kind.item)
        value = self.expr(node.value)
        if any(isinstance(part, tree.JitCall) for part in tree.walk([value])):
            name = self.fresh(old.kind)
            done.append(tree.Assign(name, old))
            return done + self.store(array, kept, self.binary(op, Var(name, old.kind), value, line), node)
        return done + self.store(array, kept, self.binary(op, old, value, line), node)

    def bind(self, target: ast.expr, x: Expr, node: ast.AST) -> list[Stmt]:
        """Target = x."""
        if isinstance(target, ast.Name):
            return self.assign(target.id, x, node)
        if isinstance(target, ast.Subscript):
            array, index = self.subscript(target)
            return self.store(array, index, x, node)
        if isinstance(target, ast.Tuple):
            return self.unpack(target, x, node)
        raise self.unsupported(target)

    def unpack(self, target: ast.Tuple, x: Expr, node: ast.AST) -> list[Stmt]:
        """A, b = x: all values are there before the first is bound."""
        if isinstance(x.kind, UnknownKind):
            return []
        if not isinstance(x.kind, TupleKind):
            raise self.fail(node, f"expected a tuple of {len(target.elts)}, found {x.kind}")
        if len(x.kind.items) != len(target.elts):
            raise self.fail(node, f"expected a tuple of {len(target.elts)}, found one of {len(x.kind.items)}")
        done: list[Stmt] = []
        if isinstance(x, tree.JitCall):
            names = [self.fresh(kind) for kind in x.kind.items]
            done.append(tree.Unpack(names, x))
            items: list[Expr] = [Var(name, kind) for name, kind in zip(names, x.kind.items, strict=True)]
        else:
            items = []
            for one in self.items_of(x, node):
                if isinstance(one, Const) or isinstance(one.kind, (TupleKind, FunctionKind)):
                    items.append(one)
                else:
                    name = self.fresh(one.kind)
                    self.origins[name] = set(self.origins.get(_array_of(one), ()))
                    done.append(tree.Assign(name, one))
                    items.append(Var(name, one.kind))
        for part, one in zip(target.elts, items, strict=True):
            done += self.bind(part, one, node)
        return done

    def store(self, array: Var, index: list[Expr], x: Expr, node: ast.AST) -> list[Stmt]:
        """Array[index] = x."""
        self.write(array)
        if isinstance(array.kind, UnknownKind) or isinstance(x.kind, UnknownKind):
            return []
        assert isinstance(array.kind, ArrayKind)
        if len(index) < array.kind.ndim:
            raise self.fail(node, "assigning a whole row cannot be compiled", "loop over the elements")
        line = self.source.line(node)
        return [tree.Store(array, index, store_as(x, array.kind.item, line), line)]

    def write(self, array: Var) -> None:
        """Note whose memory is written to."""
        more = self.origins.get(array.name, set()) - self.written
        if more:
            self.written |= more
            self.changed = True

    def stmt_If(self, node: ast.If) -> list[Stmt]:
        condition = self.condition(node.test)
        before = self.assigned
        if isinstance(condition, Const):  # the way that is never gone need not be compiled
            return self.block(node.body if condition.value else node.orelse)
        self.assigned = _copy(before)
        body = self.block(node.body)
        after = self.assigned
        self.assigned = _copy(before)
        orelse = self.block(node.orelse)
        self.assigned = _both(after, self.assigned)
        return [tree.If(condition, body, orelse)]

    def stmt_While(self, node: ast.While) -> list[Stmt]:
        self.loops = True
        condition = self.condition(node.test)
        before = _copy(self.assigned)
        endless = isinstance(condition, Const) and bool(condition.value)
        body, left = self.loop_body(node.body)
        self.assigned = None if endless else _copy(before)
        orelse = self.block(node.orelse)
        if left:
            self.assigned = _copy(before)
        return [tree.While(condition, body, orelse)]

    def loop_body(self, body: Sequence[ast.stmt]) -> tuple[list[Stmt], bool]:
        """A loop's body, and whether a `break` leaves it."""
        self.breaks.append([])
        done = self.block(body)
        return done, bool(self.breaks.pop())

    def stmt_For(self, node: ast.For) -> list[Stmt]:
        self.loops = True
        line = self.source.line(node)
        if isinstance(node.iter, ast.Call) and self.resolve(node.iter.func) is range:
            return self._for_range(node, line)
        if isinstance(node.iter, ast.Call) and self.resolve(node.iter.func) is enumerate:
            if len(node.iter.args) != 1 or node.iter.keywords or not _is_pair(node.target):
                raise self.fail(node, "enumerate in this form cannot be compiled", "for i, x in enumerate(a)")
            assert isinstance(node.target, ast.Tuple)
            return self._for_each(node, node.iter.args[0], node.target.elts[1], node.target.elts[0], line)
        return self._for_each(node, node.iter, node.target, None, line)

    def _for_range(self, node: ast.For, line: int) -> list[Stmt]:
        assert isinstance(node.iter, ast.Call)
        if node.iter.keywords or not 1 <= len(node.iter.args) <= 3:
            raise self.fail(node.iter, "expected one to three numbers for range")
        given = [self.whole(argument) for argument in node.iter.args]
        start, stop, step = given[0], given[0], Const(1, INT)
        if len(given) == 1:
            start = Const(0, INT)
        else:
            stop = given[1]
        if len(given) == 3:
            step = given[2]  # type: ignore[assignment]
        if not isinstance(node.target, ast.Name):
            raise self.fail(node.target, "expected a name for the loop's variable")
        return self._for(node, node.target.id, start, stop, step, [], line)

    def _for_each(
        self, node: ast.For, over: ast.expr, target: ast.expr, counter: ast.expr | None, line: int
    ) -> list[Stmt]:
        array = self.expr(over)
        if isinstance(array.kind, UnknownKind):
            return []
        if not isinstance(array, Var) or not isinstance(array.kind, ArrayKind):
            raise self.fail(
                over, "a loop over this cannot be compiled", "loop over range(...), or over an array by its name"
            )
        # The loop goes on over this array also when its name is given to another meanwhile.
        name = self.fresh(array.kind)
        self.origins[name] = self.origins.get(array.name, set())
        held = Var(name, array.kind)
        place = self.fresh(INT)
        index: list[Expr] = [Var(place, INT)]

        def first() -> list[Stmt]:
            done = self.bind(counter, index[0], node) if counter is not None else []
            return done + self.bind(target, self.element(held, index, line), node)

        loop = self._for(node, place, Const(0, INT), tree.Dim(held, 0), Const(1, INT), [first], line)
        return [tree.Assign(name, array), *loop]

    def _for(
        self, node: ast.For, target: str, start: Expr, stop: Expr, step: Expr,
        first: list[Callable[[], list[Stmt]]], line: int,
    ) -> list[Stmt]:  # fmt: skip
        before = _copy(self.assigned)
        lead: list[Stmt] = []
        place = Var(target, INT)
        if not target[0].isdigit() and self.kinds.get(target, INT) != INT:
            place = Var(self.fresh(INT), INT)
        if place.name == target:
            if self.kinds.get(target) is None:
                self.kinds[target] = INT
                self.changed = True
            self.literals[target] = None
            assert self.assigned is not None
            self.assigned.add(target)
        else:
            lead += self.assign(target, place, node)
        self.breaks.append([])
        for make in first:
            lead += make()
        body = lead + self.block(node.body)
        self.breaks.pop()
        self.assigned = _copy(before)
        orelse = self.block(node.orelse)
        self.assigned = before
        return [tree.For(place.name, start, stop, step, body, orelse, line)]

    def stmt_Break(self, node: ast.Break) -> list[Stmt]:
        self.breaks[-1].append(True)
        self.assigned = None
        return [tree.Jump("break")]

    def stmt_Continue(self, node: ast.Continue) -> list[Stmt]:
        self.assigned = None
        return [tree.Jump("continue")]

    def stmt_Return(self, node: ast.Return) -> list[Stmt]:
        nothing = node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)
        x: Expr = tree.Nothing(NONE) if nothing else self.expr(node.value)
        done = self.returned(x, node)
        self.assigned = None
        return done

    def returned(self, x: Expr, node: ast.AST) -> list[Stmt]:
        """Join the function's result."""
        kind = x.kind
        if isinstance(kind, FunctionKind):
            raise self.fail(node, "a function as a result cannot be compiled")
        joined = kind if self.result is None else join(self.result, kind)
        if joined is None:
            raise self.fail(node, f"it returns {self.result} on one way and {kind} on another", "return one type")
        if joined != self.result:
            self.result = joined
            self.changed = True
        return [] if isinstance(kind, UnknownKind) else [tree.Return(self.fit(x, joined, node))]

    def stmt_Raise(self, node: ast.Raise) -> list[Stmt]:
        made = node.exc
        message = ""
        if isinstance(made, ast.Call) and not made.keywords and len(made.args) <= 1:
            if made.args:
                if not isinstance(made.args[0], ast.Constant) or not isinstance(made.args[0].value, str):
                    raise self.fail(made.args[0], "expected a text that is known, found one that is made")
                message = made.args[0].value
            made = made.func
        found = self.resolve(made) if made is not None else MISSING
        if found not in EXCEPTIONS or node.cause is not None:
            names = ", ".join(one.__name__ for one in EXCEPTIONS)
            raise self.fail(node, f"expected to raise one of {names}, with a text or none")
        self.assigned = None
        return [tree.Raise(found.__name__, message, self.source.line(node))]

    def stmt_Assert(self, node: ast.Assert) -> list[Stmt]:
        message = ""
        if node.msg is not None:
            if not isinstance(node.msg, ast.Constant):
                raise self.fail(node.msg, "expected a text that is known, found one that is made")
            message = str(node.msg.value)
        condition = self.condition(node.test)
        return [tree.If(condition, [], [tree.Raise("AssertionError", message, self.source.line(node))])]

    # ---- expressions ----

    def condition(self, node: ast.expr) -> Expr:
        """A truth value."""
        x = self.expr(node)
        if isinstance(x.kind, UnknownKind):
            return x
        value: Expr = self.guarded(node, lambda: truth(x))
        return value

    def whole(self, node: ast.expr) -> Expr:
        """A number for `range`, an index or a length."""
        x = self.expr(node)
        if isinstance(x.kind, UnknownKind):
            return x
        kind = self.guarded(node, lambda: scalar(x))
        if kind.floating:
            raise self.fail(node, "expected an integer, found a float", "int(...), or // in place of /")
        if kind.name == "uint64":
            return tree.Call("ody_fit_int_uint64", [x], INT, self.source.line(node), fails=True)
        return coerce(x, INT) if kind.weak else tree.Convert(x, INT)

    def guarded(self, node: ast.AST, make: Callable[[], Any]) -> Any:
        """What `make` gives, or the error that points here."""
        try:
            return make()
        except Refused as refused:
            raise self.fail(node, f"{refused.problem} cannot be compiled", refused.remedy) from None

    def expr(self, node: ast.expr | None) -> Expr:
        """An expression, typed."""
        handler: Callable[[Any], Expr] | None = getattr(self, f"expr_{type(node).__name__}", None)
        assert node is not None
        if handler is None:
            raise self.unsupported(node)
        made: Expr = self.guarded(node, lambda: handler(node))
        return made

    def expr_Constant(self, node: ast.Constant) -> Expr:
        if isinstance(node.value, (bool, int, float)):
            return literal(node.value)
        what = {str: "a string", bytes: "bytes", complex: "a complex number", type(None): "None"}
        raise self.unsupported(node, what.get(type(node.value), repr(node.value)))

    def expr_Name(self, node: ast.Name) -> Expr:
        if node.id in self.locals:
            return self.read(node.id, node)
        return self.value_of(self.source.lookup(node.id), node.id, node)

    def value_of(self, found: Any, name: str, node: ast.AST) -> Expr:
        """A global as a value."""
        if isinstance(found, (bool, int, float)) and type(found) in (bool, int, float):
            return literal(found)
        if isinstance(found, np.generic) and dtype_of(found.dtype) is not None:
            kind = numpy_default(Scalar("bool_" if found.dtype.kind == "b" else found.dtype.name))
            return Const(found.item(), kind)
        if getattr(found, "__odyssey_jit__", False):
            return tree.Callee(FunctionKind(found))
        if isinstance(found, tuple):
            items = [self.value_of(item, f"{name}[{place}]", node) for place, item in enumerate(found)]
            return tree.Tuple(items, TupleKind(tuple(item.kind for item in items)))
        if found is MISSING:
            raise self.fail(node, f"the name {name} is not defined")
        if isinstance(found, np.ndarray):
            raise self.fail(node, f"the array {name} from outside cannot be compiled in", "take it as an argument")
        raise self.fail(
            node,
            f"{name}, {_article(type(found).__name__)} from outside, cannot be compiled",
            HINTS.get(_key(found), ""),
        )

    def resolve(self, node: ast.expr) -> Any:
        """The object that a name outside of the function, or a module's attribute, stands for; or `MISSING`."""
        if isinstance(node, ast.Name):
            return MISSING if node.id in self.locals else self.source.lookup(node.id)
        if isinstance(node, ast.Attribute):
            owner = self.resolve(node.value)
            if isinstance(owner, ModuleType):
                return getattr(owner, node.attr, MISSING)
        return MISSING

    def expr_Attribute(self, node: ast.Attribute) -> Expr:
        found = self.resolve(node)
        if found is not MISSING:
            owner = self.resolve(node.value)
            # A number in a module of the user's may change, and is not in the cache's key.
            if owner in (math, np) or getattr(found, "__odyssey_jit__", False):
                return self.value_of(found, ast.unparse(node), node)
            raise self.fail(node, f"{ast.unparse(node)} cannot be compiled", "give it a name in this module first")
        if isinstance(self.resolve(node.value), ModuleType):
            raise self.fail(node, f"{ast.unparse(node)} does not exist")
        x = self.expr(node.value)
        if isinstance(x.kind, UnknownKind):
            return UNFINISHED
        if isinstance(x.kind, ArrayKind) and isinstance(x, Var):
            dims: list[Expr] = [tree.Dim(x, axis) for axis in range(x.kind.ndim)]
            if node.attr == "shape":
                return tree.Tuple(dims, TupleKind((INT,) * len(dims)))
            if node.attr == "size":
                size = dims[0]
                for dim in dims[1:]:
                    size = tree.Arith("*", size, dim, INT)
                return size
            if node.attr == "ndim":
                return Const(x.kind.ndim, INT)
        raise self.fail(
            node, f"the attribute .{node.attr} of {x.kind} cannot be compiled", "an array has .shape, .size and .ndim"
        )

    def expr_Tuple(self, node: ast.Tuple) -> Expr:
        items = [self.expr(item) for item in node.elts]
        if any(isinstance(item.kind, UnknownKind) for item in items):
            return UNFINISHED
        for item, part in zip(items, node.elts, strict=True):
            if isinstance(item, tree.JitCall) and isinstance(item.kind, TupleKind):
                raise self.fail(part, "a tuple in a tuple cannot be compiled", "give its parts names first")
        return tree.Tuple(items, TupleKind(tuple(item.kind for item in items)))

    def expr_UnaryOp(self, node: ast.UnaryOp) -> Expr:
        x = self.expr(node.operand)
        if isinstance(x.kind, UnknownKind):
            return x
        if isinstance(node.op, ast.Not):
            value = truth(x)
            return Const(not value.value, BOOL) if isinstance(value, Const) else tree.Not(value)
        if isinstance(node.op, ast.USub):
            return negate(x)
        if isinstance(node.op, ast.Invert):
            return invert(x)
        return tree.Convert(x, INT) if scalar(x) == BOOL else x

    def expr_BinOp(self, node: ast.BinOp) -> Expr:
        op = BINARY.get(type(node.op))
        if op is None:
            raise self.fail(node, "@ cannot be compiled", "write the loop, or call it outside: od.matmul")
        a, b = self.expr(node.left), self.expr(node.right)
        return self.binary(op, a, b, self.source.line(node))

    def binary(self, op: str, a: Expr, b: Expr, line: int) -> Expr:
        """`a op b`, where both may not be known yet."""
        if isinstance(a.kind, UnknownKind) or isinstance(b.kind, UnknownKind):
            return UNFINISHED
        if op == "**" and isinstance(b, Const) and not is_pure(a) and scalar(a).integer and b.value in (2, 3):
            a = self.hide(a)
            first = arith(op, Var(a.name, a.kind), b, line)
            return _with_first(first, a)
        return arith(op, a, b, line)

    def expr_BoolOp(self, node: ast.BoolOp) -> Expr:
        op = "and" if isinstance(node.op, ast.And) else "or"
        before = _copy(self.assigned)
        x = self.expr(node.values[0])
        for part in node.values[1:]:
            y = self.expr(part)
            if isinstance(x.kind, UnknownKind) or isinstance(y.kind, UnknownKind):
                x = UNFINISHED
            elif isinstance(x, Const):
                x = y if bool(x.value) == (op == "and") else x
            else:
                x = logic(op, x, y)
        self.assigned = before
        return x

    def expr_Compare(self, node: ast.Compare) -> Expr:
        left = self.expr(node.left)
        result: Expr | None = None
        for place, (op, part) in enumerate(zip(node.ops, node.comparators, strict=True)):
            sign = COMPARED.get(type(op))
            if sign is None:
                words = {ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in"}
                raise self.fail(node, f"{words[type(op)]} cannot be compiled", "compare with ==, or write the loop")
            right = self.expr(part)
            if isinstance(left.kind, UnknownKind) or isinstance(right.kind, UnknownKind):
                left, result = right, UNFINISHED
                continue
            if place + 1 < len(node.ops) and not is_pure(right):
                right = self.hide(right)  # it is compared twice and computed once
            one = compare(sign, left, right)
            result = one if result is None or result is UNFINISHED else logic("and", result, one)
            left = Var(right.name, right.kind) if isinstance(right, Keep) else right
        assert result is not None
        return result

    def expr_IfExp(self, node: ast.IfExp) -> Expr:
        condition = self.condition(node.test)
        if isinstance(condition, Const):
            return self.expr(node.body if condition.value else node.orelse)
        a, b = self.expr(node.body), self.expr(node.orelse)
        if UNKNOWN in (condition.kind, a.kind, b.kind):
            return a if isinstance(b.kind, UnknownKind) else b
        kind = join(scalar(a), scalar(b))
        assert isinstance(kind, Scalar)
        return tree.Select(condition, coerce(a, kind), coerce(b, kind), kind)

    def expr_Subscript(self, node: ast.Subscript) -> Expr:
        owner = self.expr(node.value) if not isinstance(node.value, ast.Subscript) else None
        if owner is not None and isinstance(owner.kind, TupleKind):
            place = self.expr(node.slice)
            items = self.items_of(owner, node)
            if not isinstance(place, Const) or not -len(items) <= place.value < len(items):
                raise self.fail(node, f"expected a known place in a tuple of {len(items)}", "use an array")
            return items[int(place.value)]
        array, index = self.subscript(node)
        if isinstance(array.kind, UnknownKind) or any(isinstance(one.kind, UnknownKind) for one in index):
            return UNFINISHED
        return self.element(array, index, self.source.line(node))

    def element(self, array: Var, index: list[Expr], line: int) -> Expr:
        """array[index]: an element, or the rest of the array."""
        kind = array.kind
        assert isinstance(kind, ArrayKind)
        if len(index) == kind.ndim:
            return tree.Load(array, index, line, kind.item)
        rest = ArrayKind(kind.dtype, kind.ndim - len(index), kind.contiguous)
        return tree.Row(array, index, line, rest)

    def subscript(self, node: ast.Subscript) -> tuple[Var, list[Expr]]:
        """An array's name and the integers behind it, those of `a[i][j]` put together."""
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if isinstance(node.value, ast.Subscript):
            array, index = self.subscript(node.value)
        else:
            owner = self.expr(node.value)
            index = []
            if not isinstance(owner.kind, (ArrayKind, UnknownKind)):
                raise self.fail(node, f"an index into {owner.kind} cannot be compiled")
            if not isinstance(owner, Var):
                raise self.fail(node.value, "expected an array with a name", "give it a name first")
            array = owner
        for part in parts:
            index.append(self.whole(part))
        if isinstance(array.kind, ArrayKind) and len(index) > array.kind.ndim:
            raise self.fail(node, f"{array.name} has {array.kind.ndim} axes, found {len(index)} indices")
        return array, index

    # ---- calls ----

    def expr_Call(self, node: ast.Call) -> Expr:
        line = self.source.line(node)
        found = self.resolve(node.func)
        if found is MISSING:
            if isinstance(node.func, ast.Name) and node.func.id in self.locals:
                callee = self.expr(node.func)
                if isinstance(callee.kind, FunctionKind):
                    return self.call(callee.kind.function, node, line)
            if isinstance(node.func, ast.Attribute) and not isinstance(self.resolve(node.func.value), ModuleType):
                raise self.fail(
                    node, f"the method .{node.func.attr} cannot be compiled", "write the loop, or call it outside"
                )
            raise self.fail(node, f"a call of {ast.unparse(node.func)} cannot be compiled")
        if getattr(found, "__odyssey_jit__", False):
            return self.call(found, node, line)
        if found is len:
            return self.length(node)
        if found is divmod:
            a, b = (self.expr(part) for part in node.args)
            if UNKNOWN in (a.kind, b.kind):
                return UNFINISHED
            pair = [self.binary("//", a, b, line), self.binary("%", a, b, line)]
            return tree.Tuple(pair, TupleKind((pair[0].kind, pair[1].kind)))
        if _key(found) in ALLOCATING:
            return self.allocation(found, node, line)
        builder = CALLS.get(_key(found))
        if builder is None or node.keywords:
            name = ast.unparse(node.func)
            if builder is not None:
                raise self.fail(node, f"{name} with keywords cannot be compiled", "give its arguments by place")
            raise self.fail(node, f"a call of {name} cannot be compiled", HINTS.get(_key(found), ""))
        args = [self.expr(part) for part in node.args]
        if any(isinstance(part.kind, UnknownKind) for part in args):
            return UNFINISHED
        if len(args) > 1 or found is abs:  # what is compared and then chosen must be computed once
            args = [part if is_pure(part) or not isinstance(part.kind, Scalar) else self.hide(part) for part in args]
        made: Expr = self.guarded(node, lambda: builder(args, line))
        return made

    def length(self, node: ast.Call) -> Expr:
        """`len(x)`."""
        if len(node.args) != 1:
            raise self.fail(node, "expected one argument for len")
        x = self.expr(node.args[0])
        if isinstance(x.kind, TupleKind):
            return Const(len(x.kind.items), INT)
        if isinstance(x.kind, UnknownKind):
            return UNFINISHED
        if isinstance(x, Var) and isinstance(x.kind, ArrayKind):
            return tree.Dim(x, 0)
        if isinstance(x, tree.Row):
            return tree.Dim(x.array, len(x.index))
        raise self.fail(node, f"len of {x.kind} cannot be compiled")

    def call(self, function: Any, node: ast.Call, line: int) -> Expr:
        """A call of a compiled function."""
        plain = function.__wrapped__
        code = plain.__code__
        names = code.co_varnames[: code.co_argcount]
        given: dict[str, Expr] = {}
        for name, part in zip(names, node.args, strict=False):
            given[name] = self.expr(part)
        for keyword in node.keywords:
            if keyword.arg not in names or keyword.arg in given:
                raise self.fail(keyword, f"{function.__name__} takes {', '.join(names)}")
            given[str(keyword.arg)] = self.expr(keyword.value)
        defaults = dict(zip(reversed(names), reversed(plain.__defaults__ or ()), strict=False))
        for name in names:
            if name not in given and name in defaults:
                given[name] = self.value_of(defaults[name], name, node)
        if len(given) != len(names) or len(node.args) > len(names):
            raise self.fail(node, f"{function.__name__} takes {', '.join(names) or 'nothing'}")
        args = [given[name] for name in names]
        if any(isinstance(one.kind, UnknownKind) for one in args):
            return UNFINISHED
        parts: list[ast.AST] = [*node.args, *node.keywords]
        for one, given_as in zip(args, parts, strict=False):
            if isinstance(one.kind, (TupleKind, NoneKind)):
                raise self.fail(given_as, f"{one.kind} as an argument cannot be compiled", "pass its parts")
            if isinstance(one.kind, ArrayKind) and not isinstance(one, (Var, tree.Row)):
                raise self.fail(given_as, "expected an array with a name", "give it a name first")
        target = self.program.add(plain, [one.kind for one in args])
        self.loops = self.loops or target.loops
        for one, (name, _) in zip(args, target.parameters, strict=False):
            if name in target.written and isinstance(one.kind, ArrayKind):
                self.write(Var(_array_of(one), one.kind))
        if isinstance(target.result, UnknownKind):
            self.unfinished = True
            return UNFINISHED
        return tree.JitCall(target, args, target.result, line)

    def allocation(self, found: Any, node: ast.Call, line: int) -> Expr:
        """np.zeros and its like."""
        name, like = ALLOCATING[found]
        keywords = {str(keyword.arg): keyword.value for keyword in node.keywords}
        order = ["shape", "fill_value", "dtype"] if name == "full" else ["shape", "dtype"]
        if like:
            order[0] = "a"
        if len(node.args) > len(order):
            raise self.fail(node, f"np.{name} with these arguments cannot be compiled")
        given: dict[str, ast.expr] = dict(zip(order, node.args, strict=False))
        given |= keywords
        for extra in set(given) - set(order):
            raise self.fail(node, f"np.{name} with {extra}= cannot be compiled")
        if order[0] not in given or ("fill_value" in order and "fill_value" not in given):
            raise self.fail(node, f"expected np.{name}({', '.join(order)})")
        dtype: str | None = None
        shape: list[Expr] = []
        if like:
            model = self.expr(given["a"])
            if isinstance(model.kind, UnknownKind):
                return UNFINISHED
            if not isinstance(model.kind, ArrayKind) or not isinstance(model, Var):
                raise self.fail(node, "expected an array with a name")
            dtype = model.kind.dtype
            shape = [tree.Dim(model, axis) for axis in range(model.kind.ndim)]
        else:
            shape = self.shape(given["shape"])
        fill: Expr | None = {"zeros": Const(0, INT), "ones": Const(1, INT), "empty": None}.get(name)
        if name == "full":
            fill = self.expr(given["fill_value"])
        if any(isinstance(part.kind, UnknownKind) for part in [*shape, *([] if fill is None else [fill])]):
            return UNFINISHED
        if "dtype" in given:
            dtype = self.dtype(given["dtype"])
        elif dtype is None:
            dtype = "float64" if fill is None or name != "full" else numpy_default(scalar(fill)).dtype
        kind = ArrayKind(dtype, len(shape), True)
        stored = None if fill is None else store_as(fill, kind.item, line)
        if stored is not None and not is_pure(stored):
            stored = self.hide(stored)
        return tree.Alloc(shape, stored, line, kind)

    def shape(self, node: ast.expr) -> list[Expr]:
        """An array's lengths, from a number or a tuple of them."""
        if isinstance(node, ast.Tuple):
            return [self.whole(part) for part in node.elts]
        x = self.expr(node)
        if isinstance(x.kind, TupleKind):
            return list(self.items_of(x, node))
        return [self.whole(node)]

    def dtype(self, node: ast.expr) -> str:
        """What stands at `dtype=`."""
        if isinstance(node, ast.Attribute) and node.attr == "dtype":
            x = self.expr(node.value)
            if isinstance(x.kind, ArrayKind):
                return x.kind.dtype
        named = node.value if isinstance(node, ast.Constant) else self.resolve(node)
        dtype = dtype_of(named) if named is not MISSING and named is not None else None
        if dtype is None:
            raise self.fail(node, "expected a dtype such as np.float64, np.int32 or bool")
        return dtype


ALLOCATING = {
    np.zeros: ("zeros", False), np.empty: ("empty", False), np.ones: ("ones", False), np.full: ("full", False),
    np.zeros_like: ("zeros", True), np.empty_like: ("empty", True), np.ones_like: ("ones", True),
}  # fmt: skip


def _key(found: Any) -> Any:
    try:
        hash(found)
    except TypeError:
        return None
    return found


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _array_of(x: Expr) -> str:
    if isinstance(x, Var):
        return x.name
    return x.array.name if isinstance(x, tree.Row) else ""


def _with_first(x: Expr, first: Keep) -> Expr:
    """The expression, in which the first mention of a kept value is what computes it."""
    assert isinstance(x, tree.Arith)
    if isinstance(x.a, tree.Arith):
        return tree.Arith(x.op, _with_first(x.a, first), x.b, x.kind)
    a = coerce(first, x.kind) if isinstance(x.a, (Var, tree.Convert)) else x.a
    return tree.Arith(x.op, a, x.b, x.kind)


def _is_pair(node: ast.expr) -> bool:
    return isinstance(node, ast.Tuple) and len(node.elts) == 2


def _copy(names: set[str] | None) -> set[str] | None:
    return None if names is None else set(names)


def _both(a: set[str] | None, b: set[str] | None) -> set[str] | None:
    if a is None or b is None:
        return b if a is None else a
    return a & b

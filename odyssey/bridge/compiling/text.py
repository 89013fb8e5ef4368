"""From the typed form to Cython: a nogil function with typed locals, whose errors leave as a number.

An expression becomes one line wherever nothing in it can fail. What can fail stands on a line of its own before, in the
order in which Python evaluates it, followed by the check. A loop whose indices are proved before it runs (`ranges.py`)
is written twice, without those checks and, for when the proof fails, with all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from odyssey.bridge.compiling import tree
from odyssey.bridge.compiling.kinds import INT, ArrayKind, Kind, Scalar, TupleKind
from odyssey.bridge.compiling.ranges import Proof, Prover
from odyssey.bridge.compiling.tree import Const, Expr, Function, Stmt, Var

__all__ = ["Sites", "Writer", "core", "parameters", "results"]

DEEPEST = 1000  # calls inside one another, as Python's own limit
LARGEST = 400  # nodes of a loop that is written twice


class Sites:
    """The places that may raise: their numbers stand in the code, and what they are in the module's table."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, str, str]] = []
        self._numbers: dict[tuple[int, int, str, str], int] = {}

    def number(self, function: int, line: int, name: str = "", message: str = "") -> int:
        """The number of a place: which function, the line in it, and what is named there."""
        row = (function, line, name, message)
        if row not in self._numbers:
            self._numbers[row] = len(self.rows)
            self.rows.append(row)
        return self._numbers[row]


def c_type(kind: Kind) -> str:
    """The type of a variable."""
    if isinstance(kind, ArrayKind):
        return f"ody_array{kind.ndim}"
    assert isinstance(kind, Scalar)
    return kind.c


def flat(name: str, kind: Kind) -> Iterator[tuple[str, Kind]]:
    """A variable, or those that a tuple consists of."""
    if isinstance(kind, TupleKind):
        for place, item in enumerate(kind.items):
            yield from flat(f"{name}.{place}", item)
    elif isinstance(kind, (Scalar, ArrayKind)):
        yield name, kind


def results(kind: Kind) -> list[Kind]:
    """What a function gives, one by one."""
    return [item for _, item in flat("", kind)]


def mangled(name: str) -> str:
    """A local variable's name in the text: one that neither C nor Cython knows."""
    base, *places = name.split(".")
    base = f"h{base}" if base[0].isdigit() else f"v_{base if base.isascii() else base.encode().hex()}"
    return "_".join([base, *places])


def parameters(function: Function) -> list[tuple[str, Kind]]:
    """The arguments that are handed over: functions are not, their type is all there is to know."""
    return [(name, kind) for name, kind in function.parameters if isinstance(kind, (Scalar, ArrayKind))]


def core(function: Function) -> str:
    """The function's name in the text."""
    return f"core_{function.symbol}"


class Writer:
    """One function's text."""

    def __init__(self, function: Function, number: int, sites: Sites, *, checks: bool) -> None:
        self.function, self.number, self.sites, self.checks = function, number, sites, checks
        self.lines: list[str] = []
        self.depth = 1
        self.declared: dict[str, list[str]] = {}
        self.temporaries = 0
        self.safe: set[tuple[int, int]] = set()
        self.proving = checks
        self.calls = False
        body = function.body
        self.owning = any(
            isinstance(node, tree.Alloc) or (isinstance(node, (tree.Return, tree.JitCall)) and _holds_array(node))
            for node in tree.walk(body)
        )

    # ---- the frame ----

    def write(self) -> list[str]:
        """The whole function."""
        function = self.function
        own = dict(flat_all(function.variables))
        body = self.lines
        for name, kind in parameters(function):
            local = function.variables[name]
            if isinstance(local, ArrayKind):
                self.put(f"{mangled(name)} = p_{mangled(name)}")
                if self.owning:
                    self.put(f"ody_hold({mangled(name)}.owner)")
            elif isinstance(local, Scalar):
                value = f"p_{mangled(name)}"
                self.put(f"{mangled(name)} = {value if local == kind else self.cast(value, local)}")
        if self.owning:
            handed = {name for name, _ in parameters(function)}
            for name, kind in own.items():
                if isinstance(kind, ArrayKind) and name not in handed:
                    self.put(f"{mangled(name)}.owner = NULL")
        for name in sorted(function.flagged):
            self.put(f"has_{mangled(name)} = {int(name in dict(function.parameters))}")
        if function.recursive:
            self.put("trouble.depth += 1")
            with self.block(f"if trouble.depth > {DEEPEST}:"):
                self.fail("ODY_DEPTH", 0)
        self.block_of(function.body)
        head = [self.signature() + ":"]
        for name, kind in own.items():
            self.declared.setdefault(c_type(kind), []).append(mangled(name))
        if function.flagged:
            self.declared.setdefault("bint", []).extend(f"has_{mangled(name)}" for name in sorted(function.flagged))
        for kind_name, names in self.declared.items():
            for start in range(0, len(names), 8):
                head.append(f"    cdef {kind_name} {', '.join(names[start : start + 8])}")
        head.append("    cdef int bad = 0, known")
        return [*head, *body, ""]

    def signature(self) -> str:
        """The line that declares it."""
        given = [f"{c_type(kind)} p_{mangled(name)}" for name, kind in parameters(self.function)]
        given += [f"{c_type(kind)} *r{place}" for place, kind in enumerate(results(self.function.result))]
        return f"cdef int {core(self.function)}({', '.join([*given, 'ody_trouble *trouble'])}) noexcept nogil"

    def put(self, line: str) -> None:
        """A line."""
        self.lines.append("    " * self.depth + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Lines behind a head."""
        self.put(head)
        self.depth += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.put("pass")
        self.depth -= 1

    def temporary(self, kind: str) -> str:
        """A variable of our own."""
        self.temporaries += 1
        name = f"t{self.temporaries}"
        self.declared.setdefault(kind, []).append(name)
        return name

    def fail(self, problem: str, line: int, name: str = "", message: str = "") -> None:
        """Leave with an error."""
        site = self.sites.number(self.number, line - self.function.source.first_line, name, message)
        self.put(f"return ody_fail(trouble, {site}, {problem})")

    def watch(self, line: int) -> None:
        """Leave if what was just called says so."""
        with self.block("if ody_bad(bad):"):
            self.fail("bad", line)

    # ---- statements ----

    def block_of(self, body: list[Stmt]) -> None:
        """Statements, one after the other."""
        for node in body:
            if not isinstance(node, (tree.For, tree.While, tree.If)):
                self.calls = any(isinstance(part, tree.JitCall) for part in tree.walk([node]))
            getattr(self, f"stmt_{type(node).__name__}")(node)

    def heads(self, *parts: Expr) -> None:
        """Before the expressions that a compound statement begins with."""
        self.calls = any(isinstance(part, tree.JitCall) for part in tree.walk(parts))

    def stmt_Assign(self, node: tree.Assign) -> None:
        kind = node.x.kind
        if isinstance(kind, TupleKind):
            self.set_tuple(node.name, node.x, kind)
        elif isinstance(kind, ArrayKind):
            self.set_array(node.name, node.x)
        else:
            self.put(f"{mangled(node.name)} = {self.bare(node.x)}")
        self.has(node.name)

    def has(self, name: str) -> None:
        """The variable has a value from here on."""
        if name in self.function.flagged:
            self.put(f"has_{mangled(name)} = 1")

    def set_tuple(self, name: str, x: Expr, kind: TupleKind) -> None:
        """A tuple's variables."""
        names = [f"{name}.{place}" for place in range(len(kind.items))]
        if isinstance(x, tree.JitCall):
            self.unpack(names, x)
            return
        items = x.items if isinstance(x, tree.Tuple) else [
            Var(f"{x.name}.{place}", item, x.line, x.maybe and place == 0)  # type: ignore[union-attr]
            for place, item in enumerate(kind.items)
        ]  # fmt: skip
        values = []
        for item in items:  # all of them before the first is set: they may mention one another
            if isinstance(item.kind, Scalar):
                value = self.temporary(c_type(item.kind))
                self.put(f"{value} = {self.bare(item)}")
                values.append(value)
        scalars = iter(values)
        for target, item in zip(names, items, strict=True):
            if isinstance(item.kind, Scalar):
                self.put(f"{mangled(target)} = {next(scalars)}")
            elif isinstance(item.kind, ArrayKind):
                self.set_array(target, item)
            elif isinstance(item.kind, TupleKind):
                self.set_tuple(target, item, item.kind)

    def set_array(self, name: str, x: Expr) -> None:
        """An array's variable: whoever it held before is one holder less."""
        value = self.array(x)
        target = mangled(name)
        if self.owning:
            if not isinstance(x, (tree.Alloc, tree.JitCall)):  # those are new, and the variable is their one holder
                self.put(f"ody_hold({value}.owner)")
            self.put(f"ody_drop({target}.owner)")
        self.put(f"{target} = {value}")

    def stmt_Unpack(self, node: tree.Unpack) -> None:
        self.unpack(node.names, node.x)

    def unpack(self, names: list[str], x: tree.JitCall) -> None:
        """A tuple's values into variables of their own."""
        assert isinstance(x.kind, TupleKind)
        flattened = [part for name, kind in zip(names, x.kind.items, strict=True) for part in flat(name, kind)]
        for (name, kind), value in zip(flattened, self.call(x), strict=True):
            if isinstance(kind, ArrayKind) and self.owning:
                self.put(f"ody_drop({mangled(name)}.owner)")
            self.put(f"{mangled(name)} = {value}")

    def stmt_Store(self, node: tree.Store) -> None:
        value = self.bare(node.x)
        if not isinstance(node.x, (Const, Var)) and any(not _quiet(one) for one in node.index):
            value = self.saved(value, node.x.kind)
        place = self.place(node)
        kind = node.array.kind
        assert isinstance(kind, ArrayKind)
        if kind.dtype == "bool":
            value = f"<uint8_t>({value})"
        self.put(f"{place} = {value}")

    def stmt_If(self, node: tree.If) -> None:
        self.heads(node.condition)
        with self.block(f"if {self.bare(node.condition)}:"):
            self.block_of(node.body)
        if node.orelse:
            with self.block("else:"):
                self.block_of(node.orelse)

    def stmt_While(self, node: tree.While) -> None:
        self.versions(node, lambda: self._while(node))

    def _while(self, node: tree.While) -> None:
        self.heads(node.condition)
        if isinstance(node.condition, Const):
            condition = str(int(bool(node.condition.value)))
            before: list[str] = []
        else:
            condition, before = self.apart(node.condition)
        if not before:
            with self.block(f"while {condition}:"):
                self.block_of(node.body)
            if node.orelse and not isinstance(node.condition, Const):
                with self.block("else:"):
                    self.block_of(node.orelse)
            return
        finished = self.temporary("bint") if node.orelse else ""
        if finished:
            self.put(f"{finished} = 0")
        with self.block("while 1:"):
            self.lines += ["    " + line for line in before]
            with self.block(f"if not {condition}:"):
                if finished:
                    self.put(f"{finished} = 1")
                self.put("break")
            self.block_of(node.body)
        if finished:
            with self.block(f"if {finished}:"):
                self.block_of(node.orelse)

    def stmt_For(self, node: tree.For) -> None:
        self.heads(node.start, node.stop, node.step)
        changed = tree.assigned([node])

        def fixed(x: Expr) -> Expr:
            """The number, as it is before the loop: what the loop changes of it counts no more."""
            if isinstance(x, Const) or (isinstance(x, Var) and not x.maybe and x.name not in changed):
                return x
            if isinstance(x, tree.Dim) and x.array.name not in changed and not x.array.maybe:
                return x
            name = f"0{self.temporaries}"
            self.temporaries += 1
            self.declared.setdefault("int64_t", []).append(mangled(name))
            self.put(f"{mangled(name)} = {self.bare(x)}")
            return Var(name, INT)

        start, stop, step = fixed(node.start), fixed(node.stop), fixed(node.step)
        if not isinstance(step, Const) or step.value == 0:
            with self.block(f"if {self.expr(step)} == 0:"):
                self.fail("ODY_STEP", node.line)
        node = tree.For(node.target, start, stop, step, node.body, node.orelse, node.line)
        self.versions(node, lambda: self._for(node))

    def _for(self, node: tree.For) -> None:
        target, start, stop = mangled(node.target), self.bare(node.start), self.bare(node.stop)
        if isinstance(node.step, Const) and node.step.value == 1:
            head, first = f"for {target} in range({start}, {stop}):", None
        else:
            step, trip = self.expr(node.step), self.temporary("int64_t")
            head = f"for {trip} in range(ody_trips({start}, {stop}, {step})):"
            first = f"{target} = {self.expr(node.start)} + {trip} * {step}"
        with self.block(head):
            if first:
                self.put(first)
            self.has(node.target)
            self.block_of(node.body)
        if node.orelse:
            with self.block("else:"):
                self.block_of(node.orelse)

    def versions(self, node: tree.For | tree.While, write: Callable[[], None]) -> None:
        """The loop; twice, if some of its checks can be proved unnecessary before it runs."""
        proof = self.proof(node) if self.proving else Proof()
        if not proof.safe:
            write()
            return
        safe, proving = self.safe, self.proving
        if proof.conditions:
            self.put("known = 1")
            for line in proof.lines:
                self.put(line)
            # One branch, and said to be taken: behind several the compiler takes the loop for cold.
            with self.block(f"if ody_holds({' & '.join(['known', *(f'({one})' for one in proof.conditions)])}):"):
                self.safe = safe | proof.safe
                write()
            self.safe, self.proving = safe, False
            with self.block("else:"):
                write()
        else:
            self.safe = safe | proof.safe
            write()
        self.safe, self.proving = safe, proving

    def proof(self, node: tree.For | tree.While) -> Proof:
        """What is known of a loop's indices before it runs."""
        if sum(1 for _ in tree.walk([node])) > LARGEST * 4:
            return Proof()
        made = len(self.declared.get("int64_t", ()))
        prover = Prover(
            mangled, lambda: self.temporary("int64_t"), lambda name: name not in self.function.flagged, "known"
        )
        proof = prover.prove(node, self.safe)
        if not proof.safe:
            del self.declared.get("int64_t", [])[made:]
        return proof

    def stmt_Jump(self, node: tree.Jump) -> None:
        self.put(node.word)

    def stmt_Return(self, node: tree.Return) -> None:
        values = self.values(node.x)
        held = []
        for place, (value, kind, new) in enumerate(values):
            if isinstance(kind, ArrayKind) and not new:
                held.append(f"ody_hold({value}.owner)")
            self.put(f"r{place}[0] = {value}")
        for line in held:
            self.put(line)
        if self.owning:
            for name, kind in flat_all(self.function.variables):
                if isinstance(kind, ArrayKind):
                    self.put(f"ody_drop({mangled(name)}.owner)")
        if self.function.recursive:
            self.put("trouble.depth -= 1")
        self.put("return 0")

    def values(self, x: Expr) -> list[tuple[str, Kind, bool]]:
        """What is returned, one by one; and whether an array is a new one, held by nobody else."""
        if isinstance(x, tree.JitCall):
            return [(value, kind, True) for value, kind in zip(self.call(x), results(x.kind), strict=True)]
        if isinstance(x, tree.Tuple):
            return [value for item in x.items for value in self.values(item)]
        if isinstance(x.kind, TupleKind) and isinstance(x, Var):
            parts = [Var(f"{x.name}.{place}", kind, x.line, x.maybe and place == 0)
                     for place, kind in enumerate(x.kind.items)]  # fmt: skip
            return [value for part in parts for value in self.values(part)]
        if isinstance(x.kind, ArrayKind):
            return [(self.array(x), x.kind, isinstance(x, tree.Alloc))]
        if isinstance(x.kind, Scalar):
            return [(self.saved(self.bare(x), x.kind) if not isinstance(x, Const) else self.expr(x), x.kind, False)]
        return []

    def stmt_Raise(self, node: tree.Raise) -> None:
        self.fail("ODY_RAISED", node.line, node.exception, node.message)

    def stmt_Evaluate(self, node: tree.Evaluate) -> None:
        if isinstance(node.x, tree.JitCall):
            for value, kind in zip(self.call(node.x), results(node.x.kind), strict=True):
                if isinstance(kind, ArrayKind):
                    self.put(f"ody_drop({value}.owner)")
        elif isinstance(node.x, tree.Tuple):
            for item in node.x.items:
                self.stmt_Evaluate(tree.Evaluate(item))
        elif isinstance(node.x.kind, ArrayKind):
            value = self.array(node.x)
            if isinstance(node.x, tree.Alloc):
                self.put(f"ody_drop({value}.owner)")
        elif isinstance(node.x.kind, Scalar):
            self.put(f"{self.temporary(c_type(node.x.kind))} = {self.expr(node.x)}")

    # ---- arrays ----

    def array(self, x: Expr) -> str:
        """An array's struct."""
        if isinstance(x, Var):
            return self.expr(x)
        if isinstance(x, tree.Alloc):
            return self.alloc(x)
        if isinstance(x, tree.JitCall):
            return self.call(x)[0]
        assert isinstance(x, tree.Row)
        return self.row(x)

    def row(self, x: tree.Row) -> str:
        """A view of the rest behind the first axes."""
        address = self.address(x)
        owner = self.expr(x.array)
        name = self.temporary(c_type(x.kind))
        self.put(f"{name}.data = {address}")
        self.put(f"{name}.owner = {owner}.owner")
        for axis in range(x.kind.ndim):
            self.put(f"{name}.n{axis} = {owner}.n{axis + len(x.index)}")
            self.put(f"{name}.s{axis} = {owner}.s{axis + len(x.index)}")
        return name

    def alloc(self, x: tree.Alloc) -> str:
        """A new array."""
        lengths = [self.saved(self.bare(length), INT) for length in x.shape]
        item = x.kind.item
        fill = "" if x.fill is None else self.expr(x.fill)
        name = self.temporary(c_type(x.kind))
        strides = [f"<int64_t>sizeof({item.stored})"]
        for length in reversed(lengths):
            size = self.temporary("int64_t")
            self.put(f"{size} = ody_bytes({length}, {strides[-1]}, &bad)")
            strides.append(size)
        # Where a later axis has no elements, an earlier one may still have a length that is refused.
        zero = isinstance(x.fill, Const) and x.fill.value == 0 and str(x.fill.value) != "-0.0"
        self.put(f"{name}.owner = ody_new(trouble, {strides[-1]}, {int(zero)}, &bad)")
        self.watch(x.line)
        self.put(f"{name}.data = <char *>{name}.owner.data")
        for axis, length in enumerate(lengths):
            self.put(f"{name}.n{axis} = {length}")
            self.put(f"{name}.s{axis} = {strides[len(lengths) - 1 - axis]}")
        if fill and not zero:
            place = self.temporary("int64_t")
            with self.block(f"for {place} in range({strides[-1]} // <int64_t>sizeof({item.stored})):"):
                stored = f"<uint8_t>({fill})" if item.boolean else fill
                self.put(f"(<{item.stored} *>{name}.data)[{place}] = {stored}")
        return name

    def indices(self, node: tree.Load | tree.Row | tree.Store) -> list[str]:
        """The indices, each of them inside."""
        if node.array.maybe:
            self.expr(node.array)
        array = mangled(node.array.name)
        values = []
        for one in node.index:  # all are computed before the first is checked, as Python does
            value = self.bare(one)
            if not isinstance(one, (Const, Var)) and not all(_quiet(other) for other in node.index):
                value = self.saved(value, INT)
            values.append(value)
        done = []
        for axis, (one, value) in enumerate(zip(node.index, values, strict=True)):
            if not self.checks:
                done.append(
                    str(value) if not isinstance(one, Const) or one.value >= 0 else f"{value} + {array}.n{axis}"
                )
                continue
            if (id(node), axis) in self.safe:
                done.append(value)
                continue
            raw = value if isinstance(one, (Const, Var)) else self.saved(value, INT)
            if _natural(one):
                place = raw
            else:
                place = self.temporary("int64_t")
                self.put(f"{place} = ody_wrap({raw}, {array}.n{axis})")
            site = self.sites.number(
                self.number, node.line - self.function.source.first_line, self.shown(node.array.name)
            )
            with self.block(f"if ody_outside({place}, {array}.n{axis}):"):
                self.put(f"return ody_bounds(trouble, {site}, {axis}, {raw}, {array}.n{axis})")
            done.append(place)
        return done

    def shown(self, name: str) -> str:
        """The array's name in a message; a hidden one stands for the array of a loop over its elements."""
        return "the array" if name[0].isdigit() else name

    def address(self, node: tree.Load | tree.Row | tree.Store) -> str:
        """Where an element, or a row, begins."""
        array = mangled(node.array.name)
        parts = [f"{index} * {array}.s{axis}" if _simple(index) else f"({index}) * {array}.s{axis}"
                 for axis, index in enumerate(self.indices(node))]  # fmt: skip
        return f"{array}.data + {' + '.join(parts)}"

    def place(self, node: tree.Load | tree.Store) -> str:
        """An element, to be read or written."""
        kind = node.array.kind
        assert isinstance(kind, ArrayKind)
        array, item = mangled(node.array.name), kind.item.stored
        if not kind.contiguous:
            return f"(<{item} *>({self.address(node)}))[0]"
        whole = ""
        for axis, index in enumerate(self.indices(node)):
            if not whole:
                whole = index
                continue
            before = whole if _simple(whole) else f"({whole})"
            whole = f"{before} * {array}.n{axis} + {index if _simple(index) else f'({index})'}"
        return f"(<{item} *>{array}.data)[{whole}]"

    # ---- expressions ----

    def expr(self, x: Expr) -> str:
        """An expression, fit to stand anywhere."""
        text = self.bare(x)
        return text if _simple(text) else f"({text})"

    def bare(self, x: Expr) -> str:
        """An expression on its own."""
        made: str = getattr(self, f"expr_{type(x).__name__}")(x)
        return made

    def apart(self, x: Expr) -> tuple[str, list[str]]:
        """An expression, and the lines that have to stand before it."""
        lines, self.lines = self.lines, []
        text = self.expr(x)
        before, self.lines = self.lines, lines
        return text, before

    def saved(self, text: str, kind: Kind) -> str:
        """A variable with this value."""
        name = self.temporary(c_type(kind))
        self.put(f"{name} = {text}")
        return name

    def expr_Const(self, x: Const) -> str:
        if x.kind.boolean:
            return str(int(bool(x.value)))
        if not x.kind.floating:
            value = int(x.value)
            if value == -(2**63):
                return "INT64_MIN"
            text = str(value) if value < 2**63 else f"<uint64_t>{hex(value)}"
            return f"<{x.kind.c}>{text}" if x.kind.dtype not in ("int64", "uint64") else text
        if math.isnan(x.value):
            text = "NAN"
        elif math.isinf(x.value):
            text = "HUGE_VAL" if x.value > 0 else "-HUGE_VAL"
        else:
            text = repr(float(x.value))
        return f"<float>({text})" if x.kind.c == "float" else text

    def expr_Var(self, x: Var) -> str:
        base = x.name.split(".")[0]
        if x.maybe and base in self.function.flagged:
            with self.block(f"if not has_{mangled(base)}:"):
                self.fail("ODY_UNBOUND", x.line, base)
        return mangled(x.name)

    def expr_Dim(self, x: tree.Dim) -> str:
        return f"{self.expr(x.array)}.n{x.axis}"

    def expr_Load(self, x: tree.Load) -> str:
        text = self.place(x)
        if x.kind.boolean:
            text = f"{text} != 0"
        # What is called later in this statement may write there.
        return self.saved(text, x.kind) if self.calls else text

    def expr_Arith(self, x: tree.Arith) -> str:
        a, b = self.pair(x.a, x.b)
        text = f"{a} {x.op} {b}"
        return self.cast(text, x.kind) if x.kind.integer and x.kind.dtype not in ("int64", "uint64") else text

    def pair(self, a: Expr, b: Expr) -> tuple[str, str]:
        """Two operands, the first of which is evaluated first."""
        return self.expr(a), self.expr(b)

    def expr_Negative(self, x: tree.Negative) -> str:
        text = f"-{self.expr(x.x)}"
        return self.cast(text, x.kind) if x.kind.integer and x.kind.dtype != "int64" else text

    def expr_Compare(self, x: tree.Compare) -> str:
        a, b = self.pair(x.a, x.b)
        return f"{a} {x.op} {b}"

    def expr_Not(self, x: tree.Not) -> str:
        return f"not {self.expr(x.x)}"

    def expr_Logic(self, x: tree.Logic) -> str:
        a = self.expr(x.a)
        b, before = self.apart(x.b)
        if x.kind.boolean and not before:
            return f"{a} {x.op} {b}"
        value = self.temporary(c_type(x.kind))
        self.put(f"{value} = {a}")
        asked = value if x.kind.boolean else f"{value} != 0"
        with self.block(f"if {asked}:" if x.op == "and" else f"if not ({asked}):"):
            self.lines += ["    " + line for line in before]
            self.put(f"{value} = {b}")
        return value

    def expr_Select(self, x: tree.Select) -> str:
        condition = self.expr(x.condition)
        a, before = self.apart(x.a)
        b, instead = self.apart(x.b)
        if not before and not instead:
            return f"{a} if {condition} else {b}"
        value = self.temporary(c_type(x.kind))
        with self.block(f"if {condition}:"):
            self.lines += ["    " + line for line in before]
            self.put(f"{value} = {a}")
        with self.block("else:"):
            self.lines += ["    " + line for line in instead]
            self.put(f"{value} = {b}")
        return value

    def expr_Convert(self, x: tree.Convert) -> str:
        own = x.x.kind
        assert isinstance(own, Scalar)
        text = self.expr(x.x)
        return text if own.c == x.kind.c else self.cast(text, x.kind)

    def cast(self, text: str, kind: Scalar) -> str:
        """The value as another type of C's."""
        if kind.boolean:
            return f"{text if _simple(text) else f'({text})'} != 0"
        return f"<{kind.c}>{text if _simple(text) else f'({text})'}"

    def expr_Call(self, x: tree.Call) -> str:
        args = [self.bare(argument) for argument in x.args]
        if not x.fails:
            return f"{x.function}({', '.join(args)})"
        value = self.temporary(c_type(x.kind))
        self.put(f"{value} = {x.function}({', '.join([*args, '&bad'])})")
        self.watch(x.line)
        return value

    def expr_JitCall(self, x: tree.JitCall) -> str:
        return self.call(x)[0]

    def call(self, x: tree.JitCall) -> list[str]:
        """Call a compiled function; the variables that hold what it gave."""
        args = []
        for one in x.args:
            if isinstance(one.kind, ArrayKind):
                args.append(self.array(one))
            elif isinstance(one.kind, Scalar):
                args.append(self.bare(one))
        given = [self.temporary(c_type(kind)) for kind in results(x.kind)]
        with self.block(
            f"if ody_bad({core(x.target)}({', '.join([*args, *(f'&{name}' for name in given), 'trouble'])})):"
        ):
            self.put("return -1")
        return given

    def expr_Keep(self, x: tree.Keep) -> str:
        self.put(f"{mangled(x.name)} = {self.bare(x.x)}")
        return mangled(x.name)


def flat_all(variables: dict[str, Kind]) -> Iterator[tuple[str, Kind]]:
    """All local variables, tuples taken apart."""
    for name, kind in variables.items():
        yield from flat(name, kind)


def _holds_array(node: tree.Return | tree.JitCall) -> bool:
    kind = node.kind if isinstance(node, tree.JitCall) else node.x.kind
    return any(isinstance(item, ArrayKind) for item in results(kind))


def _simple(text: str) -> bool:
    """It needs no parentheses: a name, a number, a call, an element."""
    depth = 0
    for place, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if (depth == 0 and not (char.isalnum() or char in "_.)]")) or (
            depth == 0 and char in ")]" and place + 1 < len(text) and text[place + 1] != "["
        ):
            return False
    return True


def _quiet(x: Expr) -> bool:
    """Nothing in it needs a line of its own."""
    return isinstance(x, (Const, Var)) or not any(
        isinstance(node, (tree.Load, tree.JitCall, tree.Keep, tree.Logic, tree.Select, tree.Call))
        for node in tree.walk([x])
    )


def _natural(x: Expr) -> bool:
    """It is never negative."""
    if isinstance(x, Const):
        return bool(x.value >= 0)
    return (
        isinstance(x, tree.Convert) and isinstance(x.x.kind, Scalar) and (x.x.kind.name[0] == "u" or x.x.kind.boolean)
    )

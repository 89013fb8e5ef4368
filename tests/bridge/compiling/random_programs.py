"""Random functions out of what `jit` compiles, as text: for running them compiled and interpreted.

Integers stay small, because Python's have no end. A variable is either Python's number or NumPy's for all of its life,
since what both share is NumPy's. Nothing else is avoided: indices miss their arrays, divisors are zero, roots are of
negative numbers, variables are read before they have a value.
"""

from random import Random

HEAD = "import math\nimport numpy as np\n\nSCALE = 1.75\nCOUNT = 3\n\n"


class Author:
    """Writes one function."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self.lines: list[str] = []
        self.loops = 0
        self.depth = 0

    def write(self, name: str) -> str:
        self.lines = [f"def {name}(i, j, x, y, flag, a, b, c, e):"]
        self.depth = 1
        for line in (
            "k = 1",
            "m = i % 7",
            "u = 0.5",
            "v = x",
            "p = np.float64(y)",
            "q = np.int64(i)",
            "r = np.float32(x)",
            "if i == 9:",
            "    w = 3",
        ):
            self.put(line)
        for _ in range(self.draw.randint(3, 7)):
            self.statement(3)
        self.put("return k, m, u, v, p, q, r" if self.draw.random() < 0.9 else "return k, w, u")
        return "\n".join(self.lines) + "\n\n"

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def pick(self, *options):
        return self.draw.choice(options)

    def body(self, budget: int) -> None:
        self.depth += 1
        for _ in range(self.draw.randint(1, 3)):
            self.statement(budget - 1)
        self.depth -= 1

    def statement(self, budget: int) -> None:
        simple = [self.set_int, self.set_float, self.set_strong, self.store, self.augment, self.swap, self.single]
        compound = [self.branch, self.loop, self.loop, self.while_loop] if budget > 0 else []
        leave = [self.jump] if self.loops else [self.early]
        chosen = self.draw.choice(simple * 2 + compound * 2 + leave * (self.draw.random() < 0.4))
        chosen(budget)

    def set_int(self, budget):
        self.put(f"{self.pick('k', 'm')} = ({self.whole(3)}) % {self.pick(5, 13, 97)}")

    def set_float(self, budget):
        self.put(f"{self.pick('u', 'v')} = {self.real(3)}")

    def set_strong(self, budget):
        name, value = self.pick(("p", self.strong(2)), ("q", self.strong_int(2)), ("r", self.narrow(2)))
        self.put(f"{name} = {value}")

    def single(self, budget):
        self.put(
            self.pick(f"w = {self.whole(1)}", f"if {self.truth(1)}:\n{'    ' * (self.depth + 1)}w = {self.whole(1)}")
        )

    def store(self, budget):
        self.put(self.pick(
            f"a[{self.index()}] = {self.real(2)}", f"b[{self.index()}] = ({self.whole(2)}) % 50",
            f"c[{self.index()}, {self.index()}] = {self.strong(2)}", f"e[{self.index()}] = {self.narrow(2)}",
        ))  # fmt: skip

    def augment(self, budget):
        self.put(self.pick(
            f"a[{self.index()}] {self.pick('+', '-', '*')}= {self.real(2)}", f"u {self.pick('+', '-', '*')}= {self.real(1)}",
            f"b[{self.index()}] += {self.whole(1)} % 9", f"k = (k {self.pick('+', '-', '*')} {self.whole(1)}) % 31",
            f"c[{self.index()}, {self.index()}] -= {self.real(1)}", f"e[{self.index()}] *= {self.narrow(1)}",
        ))  # fmt: skip

    def swap(self, budget):
        self.put(self.pick("k, m = m, k", "u, v = v, u", "k, m = divmod(k * 3 + m, 7)", "a, other = a, b"))

    def branch(self, budget):
        self.put(f"if {self.truth(2)}:")
        self.body(budget)
        if self.draw.random() < 0.4:
            self.put(f"elif {self.truth(2)}:")
            self.body(budget)
        if self.draw.random() < 0.5:
            self.put("else:")
            self.body(budget)

    def loop(self, budget):
        target = self.pick("s", "t", "k")
        self.put(self.pick(
            f"for {target} in range({self.whole(1)} % 6):", f"for {target} in range(len(a)):",
            f"for {target} in range({self.pick(-2, 0, 1)}, {self.pick('len(b)', 'i % 7', 'c.shape[0]')}):",
            f"for {target} in range({self.pick('len(a) - 1', '6', 'm')}, {self.pick(-1, 0, 'k - 3')}, {self.pick(-1, -2)}):",
            f"for {target} in range(0, len(a), {self.pick(1, 2, 3)}):", f"for {target} in range(1, len(a) - 1):",
            f"for {target} in range(0, 9, m - 2):", "for z in a:", "for d, z in enumerate(a):",
        ))  # fmt: skip
        inner = self.lines[-1].split()[1].rstrip(",")
        self.inside(budget, [inner] if inner in "st" else [])

    def inside(self, budget, names):
        self.loops += 1
        for name in names:
            self.depth += 1
            self.put(self.pick(
                f"a[{name}] = a[{name}] + {self.real(1)}", f"u = u + float(a[{name} - 1]) * 0.5 if {name} > 0 else u",
                f"c[{name}, {name} % 3] = float(c[{name}, 0]) + SCALE", f"b[{name} // 2] += 1",
                f"v = float(a[{name}]) * 0.5 + float(a[-{name} - 1])",
                f"if {name} + 1 < len(a):\n{'    ' * (self.depth + 1)}a[{name}] = a[{name} + 1]",
            ))  # fmt: skip
            self.depth -= 1
        self.body(budget)
        self.loops -= 1
        if self.draw.random() < 0.25:
            self.put("else:")
            self.body(0)

    def while_loop(self, budget):
        counter = f"n{len(self.lines)}"
        self.put(f"{counter} = 0")
        self.put(f"while {counter} < {self.pick(3, 6)} and {self.truth(1)}:")
        self.depth += 1
        self.put(f"{counter} += 1")
        self.depth -= 1
        self.inside(budget, [])

    def jump(self, budget):
        self.put(f"if {self.truth(1)}:")
        self.depth += 1
        self.put(self.pick("break", "continue"))
        self.depth -= 1

    def early(self, budget):
        self.put(f"if {self.truth(1)}:")
        self.depth += 1
        self.put(self.pick("return k, m, u, v, p, q, r", "raise ValueError('no')", "assert k > 3, 'small'"))
        self.depth -= 1

    def index(self):
        return self.pick(
            "k", "m", "k % 4", "m % 3", "-1", "0", "2", f"({self.whole(1)}) % 4", f"({self.whole(1)}) % 8 - 4"
        )

    def whole(self, depth: int) -> str:
        if depth == 0 or self.draw.random() < 0.2:
            return self.pick(
                "i", "j", "k", "m", "COUNT", "2", "7", "-3", "len(a)", "c.shape[1]", "b.size", "int(b[k % 4])"
            )
        a, b = self.whole(depth - 1), self.whole(depth - 1)
        return self.pick(
            f"({a} + {b})", f"({a} - {b})", f"({a} * ({b} % 11))", f"({a} // {b})", f"({a} % {b})", f"({a} & {b})",
            f"({a} | 5)", f"({a} ^ {b})", f"({a} << 2)", f"({a} >> 1)", f"({a} >> ({b} % 9 - 1))", f"(-{a})", f"(~{a})",
            f"abs({a})", f"min({a}, {b})", f"max({a}, {b}, 2)", f"({a} % 9) ** 2", f"(({a}) % 5) ** (abs({b}) % 4)",
            f"({a} if {self.truth(depth - 1)} else {b})", f"int({self.real(depth - 1)} % 50.0)", f"({a} and {b})",
            f"({a} or {b})", f"({a} // 4)", f"({a} % 8)", f"({a} // -3)", f"math.floor({self.real(depth - 1)} % 20.0)",
            f"round(({self.real(depth - 1)}) % 10.0)", f"int({self.truth(depth - 1)})", f"(bool({self.truth(depth - 1)}) + {a})",
        )  # fmt: skip

    def real(self, depth: int) -> str:
        if depth == 0 or self.draw.random() < 0.2:
            return self.pick("x", "y", "u", "v", "0.5", "-2.0", "1e300", "SCALE", "math.pi", "float(a[m % 4])", "0.0")
        a, b = self.real(depth - 1), self.real(depth - 1)
        return self.pick(
            f"({a} + {b})", f"({a} - {b})", f"({a} * {b})", f"({a} / {b})", f"({a} // {b})", f"({a} % {b})", f"(-{a})",
            f"abs({a})", f"min({a}, {b})", f"max({a}, {b})", f"math.sqrt({a})", f"math.exp({a})", f"math.sin({a})",
            f"math.log(abs({a}))", f"math.atan2({a}, {b})", f"abs({a}) ** {self.pick('2', '0.5', '-1', '3.0')}",
            f"({a} if {self.truth(depth - 1)} else {b})", f"({a} * {self.whole(depth - 1)})",
            f"({self.whole(depth - 1)} / {self.whole(depth - 1)})", f"float({self.whole(depth - 1)})", f"({a} or {b})",
            f"({a} and {b})", f"math.fmod({a}, {b})", f"math.copysign({a}, {b})", f"math.tanh({a})", f"math.erf({a})",
            f"({self.whole(depth - 1)} + {a})", f"math.log1p(abs({a}))", f"math.asin({a})", f"math.degrees({a})",
            f"float({self.strong(depth - 1)})", f"({self.whole(depth - 1)} % 7) ** -2", f"math.pow(abs({a}), {b})",
        )  # fmt: skip

    def strong(self, depth: int) -> str:
        """A float64 of NumPy's."""
        if depth == 0 or self.draw.random() < 0.2:
            return self.pick("p", "a[m % 4]", "c[k % 3, 1]", "np.float64(2.5)", f"a[{self.index()}]")
        a, b = self.strong(depth - 1), self.strong(depth - 1)
        other = self.pick(
            b, self.real(depth - 1), self.whole(depth - 1), self.strong_int(depth - 1), self.narrow(depth - 1)
        )
        return self.pick(
            f"({a} + {other})", f"({a} - {other})", f"({other} * {a})", f"({a} / {other})", f"({other} / {a})",
            f"({a} // {other})", f"({a} % {other})", f"np.sqrt({a})", f"np.minimum({a}, {other})", f"(-{a})", f"abs({a})",
            f"np.maximum({other}, {a})", f"min({a}, {b})", f"({self.strong_int(depth - 1)} / {self.pick('3', 'q')})",
            f"np.floor({a})", f"(abs({a}) ** {self.pick('0.5', '2', '-1.0')})", f"({a} if {self.truth(depth - 1)} else {b})",
        )  # fmt: skip

    def strong_int(self, depth: int) -> str:
        """An int64 of NumPy's, which may wrap."""
        if depth == 0 or self.draw.random() < 0.2:
            return self.pick("q", "b[k % 4]", "np.int64(9)", f"b[{self.index()}]")
        a, b = self.strong_int(depth - 1), self.strong_int(depth - 1)
        other = self.pick(b, self.whole(depth - 1))
        return self.pick(
            f"({a} + {other})", f"({a} - {other})", f"({a} * {other})", f"({a} // {other})", f"({other} % {a})", f"(-{a})",
            f"abs({a})", f"({a} & {other})", f"({a} << 3)", f"({a} >> 2)", f"max({a}, {b})", f"({a} ** 2)", f"(~{a})",
        )  # fmt: skip

    def narrow(self, depth: int) -> str:
        """A float32 of NumPy's."""
        if depth == 0 or self.draw.random() < 0.2:
            return self.pick("r", "e[m % 4]", "np.float32(0.1)", "np.float32(x)")
        a, b = self.narrow(depth - 1), self.narrow(depth - 1)
        other = self.pick(b, "0.1", "x", "3", self.whole(depth - 1))
        return self.pick(
            f"({a} + {other})", f"({other} - {a})", f"({a} * {other})", f"({a} / {other})", f"np.sqrt(abs({a}))", f"(-{a})",
            f"({a} // {other})", f"({a} % {other})", f"min({a}, {b})", f"np.maximum({a}, {b})",
        )  # fmt: skip

    def truth(self, depth: int) -> str:
        if depth == 0 or self.draw.random() < 0.15:
            return self.pick("flag", "k > 2", "x < y", "i == j", "True", "k", "u")
        sign = self.pick("<", "<=", ">", ">=", "==", "!=")
        return self.pick(
            f"({self.whole(depth - 1)} {sign} {self.whole(depth - 1)})", f"({self.real(depth - 1)} {sign} {self.real(depth - 1)})",
            f"({self.strong(depth - 1)} {sign} {self.real(depth - 1)})", f"(not {self.truth(depth - 1)})",
            f"({self.truth(depth - 1)} and {self.truth(depth - 1)})", f"({self.truth(depth - 1)} or {self.truth(depth - 1)})",
            f"({self.whole(0)} < {self.whole(depth - 1)} <= {self.whole(0)})", f"({self.whole(depth - 1)} {sign} {self.real(0)})",
            f"({self.narrow(depth - 1)} {sign} {self.pick('0.1', 'x', 'p', '2')})", f"math.isnan({self.real(depth - 1)})",
            f"({self.strong_int(depth - 1)} {sign} {self.whole(depth - 1)})", f"bool({self.whole(depth - 1)})",
        )  # fmt: skip


def module(seeds: range) -> str:
    """The text of a module of functions f0, f1, ..."""
    return HEAD + "".join(Author(seed).write(f"f{seed}") for seed in seeds)

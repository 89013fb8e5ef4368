"""Module: a computation and its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import DTypeError, FormatError, ShapeError
from odyssey.nn.hooks import BackwardHook, ForwardHook, ForwardPreHook, Handle, Hooks, call_with_hooks
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Buffer", "Module", "Parameter"]


class Parameter(Tensor):
    """A Tensor that belongs to a Module and is trained: made with `requires_grad=True`, found by `parameters()`.

    Raises:
        DTypeError: `data` is neither float32 nor float64.
    """

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=True)


class Buffer(Tensor):
    """A Tensor that belongs to a Module and is saved with it but not trained, such as batch norm's running mean."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data)


class Module:
    """The base of layers and models.

    A subclass assigns Parameters, Buffers and Modules (also in lists, tuples and dicts) to attributes and defines
    `forward`; calling the module calls `forward`. Everything else is found by walking the attributes in the order in
    which they were assigned.

    Example:
        >>> import odyssey as od
        >>> class Twice(od.nn.Module):
        ...     def __init__(self):
        ...         self.layer = od.nn.Linear(4, 4)
        ...     def forward(self, x):
        ...         return self.layer(self.layer(x))
        >>> [name for name, _ in Twice().named_parameters()]
        ['layer.weight', 'layer.bias']
    """

    training: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Calling a module is calling its forward, without a function in between: at batch 1 that is time one can see.
        super().__init_subclass__(**kwargs)
        if "forward" in cls.__dict__ and "__call__" not in cls.__dict__:
            cls.__call__ = cls.forward  # type: ignore[method-assign]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: expected a forward() method, found none; define it")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    # ---- what is inside ---------------------------------------------------------------------------------------------

    def _members(self) -> Iterator[tuple[str, Parameter | Buffer | Module]]:
        """The Parameters, Buffers and Modules held directly, with their names."""
        for name, value in vars(self).items():
            yield from _named(name, value)

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every Parameter inside, with its dotted name. One that is held twice comes once, under its first name."""
        return ((name, one) for name, one in self._named_tensors(prefix) if isinstance(one, Parameter))

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Buffer]]:
        """Every Buffer inside, with its dotted name, once."""
        return ((name, one) for name, one in self._named_tensors(prefix) if isinstance(one, Buffer))

    def _named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
        """Parameters and Buffers as they were assigned, each once."""
        seen: set[int] = set()
        for name, tensor in self._all_tensors(prefix):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor

    def _all_tensors(self, prefix: str) -> Iterator[tuple[str, Parameter | Buffer]]:
        for name, member in self._members():
            if isinstance(member, Module):
                yield from member._all_tensors(f"{prefix}{name}.")
            else:
                yield prefix + name, member

    def parameters(self) -> Iterator[Parameter]:
        """Every Parameter inside, once."""
        return (parameter for _, parameter in self.named_parameters())

    def buffers(self) -> Iterator[Buffer]:
        """Every Buffer inside, once."""
        return (buffer for _, buffer in self.named_buffers())

    def children(self) -> Iterator[Module]:
        """The Modules held directly."""
        return (member for _, member in self._members() if isinstance(member, Module))

    def modules(self) -> Iterator[Module]:
        """This Module and every one inside, outermost first."""
        yield self
        for child in self.children():
            yield from child.modules()

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This Module, whose name is "", and every one inside, with its dotted name, once, outermost first."""
        return self._named_modules(prefix, set())

    def _named_modules(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, member in self._members():
            if isinstance(member, Module):
                yield from member._named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` with every Module inside, innermost first, and with this one; returns this one.

        Example:
            >>> import odyssey as od
            >>> def start(module):
            ...     if isinstance(module, od.nn.Linear):
            ...         od.nn.init.zeros_(module.bias)
            >>> od.nn.Sequential(od.nn.Linear(2, 2)).apply(start)[0].bias.numpy().tolist()
            [0.0, 0.0]
        """
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self, dtype: DTypeLike) -> Self:
        """Convert all parameters and buffers, here and inside, to float32 or float64; returns this Module.

        Each Parameter stays the same object, so that optimizers keep it, with another array and without a gradient.
        Convert
        before the first step: an optimizer's state has the dtype that the parameters had.

        Raises:
            DTypeError: for another dtype.
        """
        kind = np.dtype(dtype)
        if kind not in (np.float32, np.float64):
            raise DTypeError(f"{type(self).__name__}.to: expected float32 or float64, found {kind}")
        for _, tensor in self._named_tensors():
            if tensor.dtype != kind:
                wanted = tensor.requires_grad
                tensor.requires_grad = False  # its gradient, and the array kept for the next, have the old dtype
                tensor.data = tensor.data.astype(kind)
                tensor.requires_grad = wanted
        return self

    # ---- hooks ------------------------------------------------------------------------------------------------------

    def register_forward_pre_hook(self, hook: ForwardPreHook) -> Handle:
        """Have `hook(module, args)` called before each call of this Module; what it returns, if not None, are the args.

        One value that is no tuple stands for one argument. `handle.remove()` ends it. A copy of a Module has no hooks,
        and a Module without them pays nothing for them.

        Example:
            >>> import odyssey as od
            >>> layer = od.nn.ReLU()
            >>> handle = layer.register_forward_pre_hook(lambda module, args: args[0] + 1.0)
            >>> layer(od.Tensor([-0.5])).item()
            0.5
            >>> handle.remove()
            >>> layer(od.Tensor([-0.5])).item()
            0.0
        """
        return self._hook("before", hook)

    def register_forward_hook(self, hook: ForwardHook) -> Handle:
        """Have `hook(module, args, output)` called after each call; what it returns, if not None, is the output.

        Example:
            >>> import odyssey as od
            >>> layer, shapes = od.nn.Linear(4, 2), []
            >>> with layer.register_forward_hook(lambda module, args, output: shapes.append(output.shape)):
            ...     _ = layer(od.Tensor([[1.0, 2.0, 3.0, 4.0]]))
            >>> shapes
            [(1, 2)]
        """
        return self._hook("after", hook)

    def register_full_backward_hook(self, hook: BackwardHook) -> Handle:
        """Have `hook(module, grad_inputs, grad_outputs)` called when a backward pass has gone through this Module.

        Both are tuples of arrays, one for each positional argument and for each element of the output (or the one
        output); None for what is no Tensor, wants no gradient or got none. What the hook returns, if not None, takes
        the place of
        grad_inputs: a tuple, or one array for one argument. If no argument wants a gradient, as in a model's first
            layer,
        the hook is called with its output's gradients, before the parameters have theirs.

        Example:
            >>> import odyssey as od
            >>> layer, x = od.nn.Tanh(), od.Tensor([0.0], requires_grad=True)
            >>> handle = layer.register_full_backward_hook(lambda module, by_inputs, by_outputs: print(by_outputs))
            >>> layer(x).sum().backward()
            (array([1.], dtype=float32),)
        """
        return self._hook("backward", hook)

    def _hook(self, kind: str, hook: Callable[..., Any]) -> Handle:
        hooks = vars(self).get("_hooks")
        if hooks is None:
            hooks = self._hooks = Hooks()
        cls = type(self)
        if not getattr(cls.__call__, "looks_for_hooks", False):
            # Calls of this class, and of no other, look for hooks from now on.
            cls.__call__ = call_with_hooks(cls.__call__)  # type: ignore[method-assign]
        return hooks.add(kind, hook)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_hooks"}

    # ---- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """The arrays of all parameters and buffers by name. They are their own, not copies."""
        return {name: tensor.data for name, tensor in self._named_tensors()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays into the parameters and buffers. All of it is checked first; on an error nothing has changed.

        Args:
            state: name -> array of the parameter's shape, float32 or float64 (converted to the parameter's dtype).

        Raises:
            FormatError: names are missing or unexpected.
            ShapeError: an array has another shape than its parameter.
            DTypeError: an array does not hold floating-point numbers.
        """
        own = dict(self._named_tensors())
        arrays = {name: np.asarray(value) for name, value in state.items()}
        missing = [name for name in own if name not in arrays]
        unexpected = [name for name in arrays if name not in own]
        if missing or unexpected:
            raise FormatError(
                f"load_state_dict: expected exactly the {len(own)} parameters of {type(self).__name__}, found"
                + (f" missing: {', '.join(missing)}" if missing else "")
                + (";" if missing and unexpected else "")
                + (f" unexpected: {', '.join(unexpected)}" if unexpected else "")
                + "; was it saved from a model of another kind?"
            )
        misshaped = [
            f"{name} {p.data.shape}, found {arrays[name].shape}"
            for name, p in own.items()
            if arrays[name].shape != p.data.shape
        ]
        if misshaped:
            raise ShapeError(
                "load_state_dict: expected "
                + "; expected ".join(misshaped)
                + "; make the model with the sizes it was saved with"
            )
        mistyped = [f"{name} {array.dtype}" for name, array in arrays.items() if array.dtype.kind != "f"]
        if mistyped:
            raise DTypeError(
                f"load_state_dict: expected float32 or float64, found {', '.join(mistyped)}; convert them first"
            )
        for name, parameter in own.items():
            np.copyto(parameter.data, arrays[name], casting="same_kind")

    def extra_state(self) -> dict[str, Any]:
        """What this Module alone must remember beside its arrays to go on to the same bits: plain numbers, for JSON.

        Nothing by default. A Module with some defines `load_extra_state` too; the Trainer keeps both in its
        checkpoints.
        """
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `extra_state` was taken."""

    # ---- mode and gradients -----------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode, here and inside; only layers that behave differently in the two look at it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Leave training mode. Gradients are still recorded; that is `no_grad`'s to switch off."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every parameter's gradient; its array is kept for the next one. See `Tensor.zero_grad`."""
        for parameter in self.parameters():
            parameter.zero_grad(set_to_none)

    # ---- looks ------------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of a layer's repr."""
        return ""

    def __repr__(self) -> str:
        inner = [f"({name}): {member!r}" for name, member in self._members() if isinstance(member, Module)]
        if not inner:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = "\n".join(inner).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {lines}\n)"


def _named(name: str, value: object) -> Iterator[tuple[str, Parameter | Buffer | Module]]:
    if isinstance(value, (Parameter, Buffer, Module)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _named(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _named(f"{name}.{key}", item)

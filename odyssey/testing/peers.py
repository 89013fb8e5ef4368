"""The libraries an operation races against, when they are installed.

A peer is a function from the arguments of a call to another that takes none and does the work once, everything prepared
beforehand; or to None where the library is absent. Where the library can write into a given array, it does: so does
odyssey. What is prepared is called very often, so it is the library's own function wherever possible, and no wrapper:
`arrange` turns the operation's arguments into those of that function, once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial, reduce
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from odyssey import threads
from odyssey.testing.call import Call, call
from odyssey.testing.placement import place

__all__ = ["Peer", "numpy_call", "numpy_out", "onnx_node", "scipy_out", "torch_call", "torch_out"]

Peer: TypeAlias = Callable[[Call], "Callable[[], object] | None"]
Arrange: TypeAlias = Callable[..., Call]

ONNX_OPSET = 20
ONNX_FORMAT = 9


def numpy_out(function: Callable[..., Any], arrange: Arrange = call) -> Peer:
    """A NumPy function that takes `out`."""

    def prepare(given: Call) -> Callable[[], object]:
        args, kwargs = arrange(*given.args, **given.kwargs)
        out = place(np.asarray(function(*args, **kwargs)))
        return partial(function, *args, **kwargs, out=out)

    return prepare


def numpy_call(function: Callable[..., Any]) -> Peer:
    """An expression in NumPy that allocates its result."""
    return lambda given: partial(function, *given.args, **given.kwargs)


def scipy_out(name: str) -> Peer:
    """A function of `scipy.special` that takes `out`."""

    def prepare(given: Call) -> Callable[[], object] | None:
        special = _module("scipy.special")
        return None if special is None else numpy_out(getattr(special, name))(given)

    return prepare


def torch_out(name: str, arrange: Arrange = call) -> Peer:
    """`torch.<name>`, with dots if need be, written into a tensor of its own."""

    def prepare(given: Call) -> Callable[[], object] | None:
        torch = _module("torch")
        if torch is None:
            return None
        function: Any = reduce(getattr, name.split("."), torch)
        args, kwargs = arrange(*_tensors(torch, given), **given.kwargs)
        out = torch.from_numpy(place(function(*args, **kwargs).numpy()))
        return partial(function, *args, **kwargs, out=out)

    return prepare


def torch_call(function: Callable[..., Any]) -> Peer:
    """`function(torch, *args, **kwargs)`, the arrays turned into tensors over the same memory."""

    def prepare(given: Call) -> Callable[[], object] | None:
        torch = _module("torch")
        return None if torch is None else partial(function, torch, *_tensors(torch, given), **given.kwargs)

    return prepare


def onnx_node(operator: str, **attributes: Any) -> Peer:
    """A model of one ONNX operator over the call's arrays, run by ONNX Runtime from and into memory bound beforehand.

    It takes as many threads as odyssey has when it is prepared. None, too, where ONNX Runtime lacks the operator for
    the arrays' type.
    """

    def prepare(given: Call) -> Callable[[], object] | None:
        onnx, runtime = _module("onnx"), _module("onnxruntime")
        if onnx is None or runtime is None:
            return None
        inputs = {f"x{i}": x for i, x in enumerate(x for x in given.args if isinstance(x, np.ndarray))}
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads.count(), 1
        options.log_severity_level = 4
        model = _onnx_model(onnx, operator, inputs, attributes)
        try:
            session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except runtime.capi.onnxruntime_pybind11_state.NotImplemented:
            return None
        out = place(session.run(None, inputs)[0])
        binding = session.io_binding()
        for name, x in inputs.items():
            binding.bind_input(name, "cpu", 0, x.dtype, x.shape, x.ctypes.data)
        binding.bind_output("y", "cpu", 0, out.dtype, out.shape, out.ctypes.data)

        def run() -> object:
            session.run_with_iobinding(binding)
            return out

        return run

    return prepare


def _onnx_model(onnx: ModuleType, operator: str, inputs: dict[str, Any], attributes: dict[str, Any]) -> bytes:
    helper = onnx.helper
    types = {name: helper.np_dtype_to_tensor_dtype(x.dtype) for name, x in inputs.items()}
    graph = helper.make_graph(
        [helper.make_node(operator, list(inputs), ["y"], **attributes)],
        operator,
        [helper.make_tensor_value_info(name, types[name], x.shape) for name, x in inputs.items()],
        [helper.make_tensor_value_info("y", next(iter(types.values())), None)],
    )
    opset = [helper.make_opsetid("", ONNX_OPSET)]
    model: bytes = helper.make_model(graph, opset_imports=opset, ir_version=ONNX_FORMAT).SerializeToString()
    return model


@cache
def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)  # at the first race: torch takes a second to import
    except ImportError:
        return None


def _tensors(torch: ModuleType, given: Call) -> list[Any]:
    return [torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in given.args]

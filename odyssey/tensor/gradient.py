"""Gradients asked for by name, as Tensors, which may be differentiated again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any, TypeAlias

import numpy as np

from odyssey._kernels.tape import used_before
from odyssey.errors import ShapeError
from odyssey.tensor import changes, ops
from odyssey.tensor.tape import Array, Edge, Node, enable_grad, operation_name
from odyssey.tensor.tensor import Tensor

__all__ = ["grad"]

Formula: TypeAlias = "Callable[[Tensor, Node], tuple[Tensor | None, ...]]"


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Array | Sequence[Tensor | Array | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` with respect to `inputs`; no Tensor's `.grad` changes.

    Args:
        outputs: one Tensor or several, whose gradients are added.
        inputs: Tensors that they were computed from: leaves, or results on the way.
        grad_outputs: the gradient with respect to each output, of its shape and dtype; where it is left out the output
            has one element and it is 1.
        retain_graph: keep the tape for another walk; by default as `create_graph`.
        create_graph: record how the gradients come to be, so that they can be differentiated again.
        allow_unused: give None for an input that no output depends on, instead of an error.

    Returns:
        A Tensor for each input.

    Raises:
        ShapeError: a gradient of an output does not fit, or is needed and missing.
        RuntimeError: an output has no history, an input none of the outputs depends on, the tape was used before, what
            it saved was overwritten, or, with create_graph, an operation on the way has no second derivative.

    Example:
        >>> import odyssey as od
        >>> x = od.Tensor([1.0, 2.0], requires_grad=True)
        >>> (slope,) = od.grad((x * x * x).sum(), x, create_graph=True)
        >>> (curvature,) = od.grad(slope.sum(), x)
        >>> slope.numpy().tolist(), curvature.numpy().tolist()
        ([3.0, 12.0], [6.0, 12.0])
    """
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    targets = [_edge_of_input(i, one) for i, one in enumerate(wanted)]
    given = _given(roots, grad_outputs)
    walk = _walk_tensors if create_graph else _walk_arrays
    found = walk(roots, given, targets, create_graph if retain_graph is None else retain_graph)
    results: list[Tensor | None] = []
    for i, target in enumerate(targets):
        result = found.get(id(target))
        if result is None and not allow_unused:
            raise RuntimeError(
                f"grad: expected outputs that depend on each input, found none that depends on input {i} "
                f"({wanted[i].shape} {wanted[i].dtype}); leave it out, or pass allow_unused=True for None in its place"
            )
        results.append(result)
    return tuple(results)


def _edge_of_input(i: int, tensor: Tensor) -> Edge:
    if tensor.node is None:
        raise RuntimeError(
            f"grad: expected inputs that a gradient is recorded for, found none for input {i}; make it with "
            "requires_grad=True before the outputs are computed from it"
        )
    return tensor.node


def _given(roots: Sequence[Tensor], gradients: Any) -> list[Tensor]:
    """The gradient of each output, checked."""
    if gradients is None or isinstance(gradients, (Tensor, np.ndarray)):
        gradients = [gradients] * len(roots) if gradients is None else [gradients]
    if len(gradients) != len(roots):
        raise ShapeError(f"grad: expected a gradient for each of {len(roots)} outputs, found {len(gradients)}")
    given = []
    for root, gradient in zip(roots, gradients, strict=True):
        if root.node is None:
            raise RuntimeError(
                "grad: expected outputs computed from a Tensor with requires_grad=True, found one without a history; "
                "was it computed under no_grad()?"
            )
        if gradient is None:
            if root.size != 1:
                raise ShapeError(
                    f"grad: expected outputs of a single element, found shape {root.shape}; reduce it first (.sum(), "
                    ".mean()) or pass its gradient: grad_outputs=..."
                )
            gradient = np.ones_like(root.data)
        tensor = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
        if tensor.shape != root.shape or tensor.dtype != root.dtype:
            raise ShapeError(
                f"grad: expected a gradient {root.shape} {root.dtype}, found {tensor.shape} {tensor.dtype}"
            )
        given.append(tensor)
    return given


def _walk_arrays(
    roots: Sequence[Tensor], given: Sequence[Tensor], targets: Sequence[Edge], retain: bool
) -> dict[int, Tensor]:
    def step(node: Node, incoming: Array) -> Sequence[Array | None]:
        assert node.backward is not None
        node.owned = False
        return node.backward(incoming, node)

    def add(a: Array, b: Array) -> Array:
        return np.asarray(ops.add(a, b))

    found = _walk(roots, [one.data for one in given], targets, retain, step, add)
    # A gradient may be the one that was given, or a view of it: these are the caller's own.
    return {key: Tensor(np.array(value)) for key, value in found.items()}


def _walk_tensors(
    roots: Sequence[Tensor], given: Sequence[Tensor], targets: Sequence[Edge], retain: bool
) -> dict[int, Tensor]:
    from odyssey.nn.functional.elementwise import add
    from odyssey.nn.functional.second import FORMULAS

    def step(node: Node, incoming: Tensor) -> Sequence[Tensor | None]:
        return _formula(FORMULAS, node)(incoming, node)

    with enable_grad():
        return _walk(roots, given, targets, retain, step, add)


def _formula(formulas: Mapping[Any, Formula], node: Node) -> Formula:
    formula = formulas.get(node.backward)
    if formula is None:
        raise RuntimeError(
            f"grad: expected operations that can be differentiated twice, found {operation_name(node)}, which cannot; "
            "leave create_graph=True away, or compute it from operations that can (those of "
            "odyssey.nn.functional.second)"
        )
    return formula


def _walk(
    roots: Sequence[Tensor],
    given: Sequence[Any],
    targets: Sequence[Edge],
    retain: bool,
    step: Callable[[Node, Any], Sequence[Any]],
    add: Callable[[Any, Any], Any],
) -> dict[int, Any]:
    """The gradients at the targets by their id, from those at the roots; only what leads to a target is walked."""
    wanted = {id(target) for target in targets}
    leading = _leading_to(wanted, [root.node for root in roots])
    gradients: dict[int, Any] = {}
    pending: list[tuple[int, Node]] = []

    def receive(edge: Edge, gradient: Any) -> None:
        key = id(edge)
        if key in gradients:
            gradients[key] = add(gradients[key], gradient)
            return
        gradients[key] = gradient
        if key in leading and isinstance(edge, Node):
            heappush(pending, (-edge.number, edge))

    for root, gradient in zip(roots, given, strict=True):
        receive(root.node, gradient)
    while pending:
        node = heappop(pending)[1]
        if node.backward is None:
            raise used_before()
        changes.check_saved(node)
        incoming = gradients[id(node)] if id(node) in wanted else gradients.pop(id(node))
        for edge, outgoing in zip(node.inputs, step(node, incoming), strict=True):
            if outgoing is not None and (id(edge) in wanted or id(edge) in leading):
                receive(edge, outgoing)
        if not retain:
            node.backward, node.inputs, node.saved = None, (), None
    return {key: value for key, value in gradients.items() if key in wanted}


def _leading_to(wanted: set[int], roots: Sequence[Edge]) -> set[int]:
    """The nodes, by id, from which a target is reached; a target itself only where another lies behind it."""
    nodes: dict[int, Node] = {}
    stack = [root for root in roots if isinstance(root, Node)]
    while stack:
        node = stack.pop()
        if id(node) not in nodes:
            nodes[id(node)] = node
            stack += [edge for edge in node.inputs if isinstance(edge, Node)]
    leading: set[int] = set()
    for node in sorted(nodes.values(), key=lambda one: one.number):
        # A node whose tape was freed may have led anywhere: the walk stops there with an error.
        if node.backward is None or any(id(edge) in wanted or id(edge) in leading for edge in node.inputs):
            leading.add(id(node))
    return leading

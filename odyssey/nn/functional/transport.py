"""Doubly stochastic matrices and entropic transport."""

from __future__ import annotations

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def sinkhorn_knopp(
    x: TensorLike,
    iterations: int = 20,
    eps: float = 1e-6,
    tau: float = 1.0,
    order: str = "rows",
    from_logits: bool = True,
    damping: float | None = None,
    method: str = "unrolled",
) -> Tensor:
    """Matrices whose rows and columns add up to 1, from logits or from matrices; `method` is that of the gradient."""
    x_data, x_edge = operand(x)
    options = (iterations, eps, tau, order, from_logits, damping)
    y = ops.sinkhorn_knopp(x_data, *options)
    return record(y, _sinkhorn_knopp_backward, (x_edge,), (x_data, (*options, method)))


def _sinkhorn_knopp_backward(grad: Array, node: Node) -> Gradients:
    (to_x,) = node.inputs
    x, options = node.saved
    assert to_x is not None
    return (ops.sinkhorn_knopp_backward(grad, x, *options, to_x.out()),)


def sinkhorn(
    a: TensorLike,
    b: TensorLike,
    cost: TensorLike,
    reg: float,
    reg_m: float | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-6,
) -> Tensor:
    """The plan of entropic transport from weights a to weights b; its gradient is that of the converged plan."""
    (a_data, a_edge), (b_data, b_edge), (cost_data, cost_edge) = operand(a), operand(b), operand(cost)
    plan = ops.sinkhorn(a_data, b_data, cost_data, reg, reg_m, iterations, tolerance)
    options = (reg, reg_m, iterations, tolerance)
    return record(plan, _sinkhorn_backward, (a_edge, b_edge, cost_edge), (plan, a_data, b_data, options))


def _sinkhorn_backward(grad: Array, node: Node) -> Gradients:
    plan, a, b, options = node.saved
    return tuple(ops.sinkhorn_backward(grad, plan, a, b, *options))

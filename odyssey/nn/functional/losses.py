"""Losses: formulas and defaults as in PyTorch.

A loss of two arrays takes them in one shape: nothing is broadcast, because a broadcast loss is nearly always a mistake.
Reductions are "mean", "sum" and "none", for one number an element.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from odyssey.errors import ShapeError
from odyssey.nn.functional._arguments import Edge, TensorLike, array, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record

Reduction: TypeAlias = Literal["none", "mean", "sum"]

LEAST_LOG = -100.0  # PyTorch's floor under a logarithm of a probability


def cross_entropy(
    logits: TensorLike,
    labels: TensorLike,
    reduction: Reduction = "mean",
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: TensorLike | None = None,
) -> Tensor:
    """The negative log-likelihood of the labels under softmax(logits).

    Args:
        logits: (N, C) float32 or float64, unnormalised.
        labels: (N,) int64 or int32, each in [0, C) or `ignore_index`.
        reduction: "mean" or "sum" over N, or "none" for one loss each.
        ignore_index: rows with this label count for nothing.
        label_smoothing: in [0, 1], how much of a label is spread over all classes.
        weight: (C,), what each class's part of a loss is multiplied by; data, it has no gradient. A mean divides by the
            sum of the weights of the labels that take part.

    Returns:
        A scalar, or (N,) for "none". The probabilities are not stored; the backward recomputes them.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> loss = od.nn.functional.cross_entropy(od.Tensor([[0.0, 0.0]]), np.array([1]))
        >>> round(loss.item(), 4)
        0.6931
    """
    x, x_edge = operand(logits)
    target = array(labels)
    options = {
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "weight": None if weight is None else array(weight),
    }
    loss = ops.cross_entropy(x, target, reduction, **options)
    return record(loss, _cross_entropy_backward, (x_edge,), (x, target, reduction, options))


def _cross_entropy_backward(grad: Array, node: Node) -> Gradients:
    logits, labels, reduction, options = node.saved
    return (ops.cross_entropy_backward(grad, logits, labels, reduction, **options),)


def mse_loss(x: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """The squared difference (x - target)**2, its mean, its sum, or each ("none").

    Both have the same shape: nothing is broadcast, because a broadcast loss is nearly always a mistake.
    """
    x_data, x_edge = operand(x)
    target_data, target_edge = operand(target)
    if np.shape(x_data) != np.shape(target_data):
        raise ShapeError(
            f"mse_loss: expected target of x's shape {np.shape(x_data)}, found {np.shape(target_data)}; "
            "reshape one of them"
        )
    difference = ops.subtract(x_data, target_data)
    squared = ops.multiply(difference, difference)
    if reduction == "mean":
        loss = ops.mean(squared)
    elif reduction == "sum":
        loss = ops.sum(squared)
    elif reduction == "none":
        loss = squared
    else:
        raise ValueError(f"mse_loss: expected reduction 'none', 'mean' or 'sum', found {reduction!r}")
    return record(loss, _mse_loss_backward, (x_edge, target_edge), (difference, reduction))


def _mse_loss_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_target = node.inputs
    difference, reduction = node.saved
    factor = 2.0 / difference.size if reduction == "mean" else 2.0
    by_x = ops.multiply(ops.scale(difference, factor), grad)
    return (
        None if to_x is None else by_x,
        None if to_target is None else ops.scale(by_x, -1.0),
    )


def l1_loss(x: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """The absolute difference |x - target|. Its gradient at 0 is 0.

    Example:
        >>> import odyssey as od
        >>> od.nn.functional.l1_loss(od.Tensor([1.0, 2.0]), od.Tensor([1.0, 4.0])).item()
        1.0
    """
    difference, edges = _difference("l1_loss", x, target)
    return _of_difference("l1_loss", np.abs(difference), np.sign(difference), edges, reduction)


def smooth_l1_loss(x: TensorLike, target: TensorLike, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    """d² / (2 beta) where |d| < beta, else |d| - beta / 2, with d = x - target (Girshick 2015, Fast R-CNN).

    With beta = 0 it is `l1_loss`.

    Raises:
        ValueError: beta is negative.

    Example:
        >>> import odyssey as od
        >>> od.nn.functional.smooth_l1_loss(od.Tensor([1.0, 2.0]), od.Tensor([2.0, 5.0]), "none").numpy().tolist()
        [0.5, 2.5]
    """
    if not beta >= 0.0:
        raise ValueError(f"smooth_l1_loss: expected beta from 0 on, found {beta}")
    difference, edges = _difference("smooth_l1_loss", x, target)
    if beta == 0.0:
        return _of_difference("smooth_l1_loss", np.abs(difference), np.sign(difference), edges, reduction)
    slopes = ops.clip(ops.divide(difference, beta), -1.0, 1.0)
    size = np.abs(difference)
    squared = ops.scale(ops.multiply(slopes, difference), 0.5)
    losses = np.where(size < beta, squared, ops.subtract(size, 0.5 * beta))
    return _of_difference("smooth_l1_loss", losses, slopes, edges, reduction)


def huber_loss(x: TensorLike, target: TensorLike, reduction: Reduction = "mean", delta: float = 1.0) -> Tensor:
    """d² / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = x - target (Huber 1964).

    Raises:
        ValueError: delta is not positive.

    Example:
        >>> import odyssey as od
        >>> od.nn.functional.huber_loss(od.Tensor([1.0]), od.Tensor([5.0]), delta=2.0).item()
        6.0
    """
    if not delta > 0.0:
        raise ValueError(f"huber_loss: expected a positive delta, found {delta}")
    difference, edges = _difference("huber_loss", x, target)
    size = np.abs(difference)
    squared = ops.scale(ops.multiply(difference, difference), 0.5)
    losses = np.where(size <= delta, squared, ops.scale(ops.subtract(size, 0.5 * delta), delta))
    return _of_difference("huber_loss", losses, ops.clip(difference, -delta, delta), edges, reduction)


def binary_cross_entropy(
    x: TensorLike, target: TensorLike, reduction: Reduction = "mean", *, weight: TensorLike | None = None
) -> Tensor:
    """-(target log x + (1 - target) log(1 - x)) of probabilities x; the logarithms are not less than -100.

    From logits use `binary_cross_entropy_with_logits`, which keeps the digits that a probability near 0 or 1 has lost.

    Args:
        x: probabilities, each in [0, 1].
        target: x's shape; usually 0 or 1.
        reduction: "mean", "sum" or "none".
        weight: broadcasts to x's shape, what each loss is multiplied by; it gets no gradient.

    Raises:
        ValueError: an element of x is outside [0, 1], or not a number.

    Example:
        >>> import odyssey as od
        >>> loss = od.nn.functional.binary_cross_entropy(od.Tensor([0.5, 0.75]), od.Tensor([0.0, 1.0]))
        >>> round(loss.item(), 4)
        0.4904
    """
    p, t, edges = _pair("binary_cross_entropy", x, target)
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(
            f"binary_cross_entropy: expected probabilities in [0, 1], found {p.min()} to {p.max()}; "
            "for logits use binary_cross_entropy_with_logits"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        yes = np.maximum(ops.log(p), LEAST_LOG)
        # log(1 - p): the sum u = 1 - p is rounded, and -p / (u - 1) is by how much (Goldberg 1991, theorem 4).
        u = ops.subtract(1.0, p)
        no = np.where(u == 1, -p, ops.multiply(ops.log(u), ops.divide(-p, ops.subtract(u, 1.0))))
    no = np.where(u == 0, LEAST_LOG, np.maximum(no, LEAST_LOG)).astype(p.dtype, copy=False)
    losses = ops.subtract(-no, ops.multiply(t, ops.subtract(yes, no)))
    variance = np.maximum(ops.multiply(p, u), 1e-12)  # PyTorch's
    by_x = ops.divide(ops.subtract(p, t), variance)
    return _reduced("binary_cross_entropy", losses, (by_x, ops.subtract(no, yes)), edges, reduction, weight)


def binary_cross_entropy_with_logits(
    x: TensorLike,
    target: TensorLike,
    reduction: Reduction = "mean",
    *,
    weight: TensorLike | None = None,
    pos_weight: TensorLike | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(x), (1 - target) x + log(1 + exp(-x)), without overflow or loss of digits.

    Args:
        x: logits.
        target: x's shape; usually 0 or 1.
        reduction: "mean", "sum" or "none".
        weight: broadcasts to x's shape, what each loss is multiplied by; it gets no gradient.
        pos_weight: broadcasts to x's shape, what the part of target is multiplied by; it gets no gradient.

    Example:
        >>> import odyssey as od
        >>> x, target = od.Tensor([0.0, 100.0]), od.Tensor([1.0, 0.0])
        >>> od.nn.functional.binary_cross_entropy_with_logits(x, target, "none").numpy()
        array([  0.6931472, 100.       ], dtype=float32)
    """
    z, t, edges = _pair("binary_cross_entropy_with_logits", x, target)
    tail = ops.softplus(-np.abs(z))  # log(1 + exp(-|z|))
    no = ops.add(np.maximum(z, 0), tail)  # -log(1 - sigmoid), and z less is -log(sigmoid)
    yes = ops.add(np.maximum(-z, 0), tail)
    weighted = t
    by_target = ops.subtract(yes, no)
    if pos_weight is not None:
        heavy = _factors("binary_cross_entropy_with_logits", "pos_weight", pos_weight, z)
        weighted = ops.multiply(heavy, t)
        by_target = ops.subtract(ops.multiply(heavy, yes), no)
    rest = ops.subtract(1.0, t)
    losses = ops.add(ops.multiply(weighted, yes), ops.multiply(rest, no))
    by_x = ops.subtract(ops.multiply(rest, ops.sigmoid(z)), ops.multiply(weighted, ops.sigmoid(-z)))
    return _reduced("binary_cross_entropy_with_logits", losses, (by_x, by_target), edges, reduction, weight)


def hinge_loss(x: TensorLike, target: TensorLike, reduction: Reduction = "mean", margin: float = 1.0) -> Tensor:
    """max(0, margin - target x) with targets -1 and 1 (Cortes and Vapnik 1995).

    The target gets no gradient. PyTorch has no function of this name; its `hinge_embedding_loss` is another.

    Example:
        >>> import odyssey as od
        >>> od.nn.functional.hinge_loss(od.Tensor([2.0, 0.5]), od.Tensor([1.0, -1.0]), "none").numpy().tolist()
        [0.0, 1.5]
    """
    score, t, (edge, _) = _pair("hinge_loss", x, target)
    short = ops.subtract(margin, ops.multiply(t, score))
    by_x = np.where(short > 0, -t, np.zeros((), t.dtype))
    return _reduced("hinge_loss", np.maximum(short, 0), (by_x, None), (edge, None), reduction)


def hinge_embedding_loss(
    x: TensorLike, target: TensorLike, reduction: Reduction = "mean", margin: float = 1.0
) -> Tensor:
    """x where target is 1, max(0, margin - x) where it is -1: distances of pairs that are alike or are not.

    The target gets no gradient.

    Example:
        >>> import odyssey as od
        >>> distance, alike = od.Tensor([0.25, 0.25]), od.Tensor([1.0, -1.0])
        >>> od.nn.functional.hinge_embedding_loss(distance, alike, "none").numpy().tolist()
        [0.25, 0.75]
    """
    distance, t, (edge, _) = _pair("hinge_embedding_loss", x, target)
    zero, one = np.zeros((), t.dtype), np.ones((), t.dtype)
    short = ops.subtract(margin, distance)
    # As in PyTorch both terms are there for a target that is neither.
    losses = ops.add(np.where(t != -1, distance, zero), np.where(t != 1, np.maximum(short, 0), zero))
    by_x = ops.subtract(np.where(t != -1, one, zero), np.where((t != 1) & (short > 0), one, zero))
    return _reduced("hinge_embedding_loss", losses, (by_x, None), (edge, None), reduction)


def sigmoid_focal_loss(
    x: TensorLike, target: TensorLike, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "none"
) -> Tensor:
    """alpha_t (1 - p_t)^gamma times the binary cross entropy: what is easily told counts for little (Lin et al. 2017).

    p_t is the probability, sigmoid(x) or 1 - sigmoid(x), of what is so; name, order and defaults are torchvision's. The
    target gets no gradient.

    Args:
        x: logits.
        target: x's shape, 0 or 1.
        alpha: the weight of a target 1; 1 - alpha is that of a target 0. Negative for no weights.
        gamma: how much less the easy ones count.
        reduction: "mean", "sum" or "none".

    Example:
        >>> import odyssey as od
        >>> loss = od.nn.functional.sigmoid_focal_loss(od.Tensor([0.0, 4.0]), od.Tensor([1.0, 1.0]))
        >>> loss.numpy()
        array([4.3321699e-02, 1.4678924e-06], dtype=float32)
    """
    if not gamma >= 0.0:
        raise ValueError(f"sigmoid_focal_loss: expected gamma from 0 on, found {gamma}")
    z, t, (edge, _) = _pair("sigmoid_focal_loss", x, target)
    tail = ops.softplus(-np.abs(z))
    rest = ops.subtract(1.0, t)
    entropy = ops.add(
        ops.multiply(t, ops.add(np.maximum(-z, 0), tail)), ops.multiply(rest, ops.add(np.maximum(z, 0), tail))
    )
    yes, no = ops.sigmoid(z), ops.sigmoid(-z)
    miss = ops.add(ops.multiply(t, no), ops.multiply(rest, yes))  # 1 - p_t, of the digits that 1 - p_t would lose
    modulation = np.ones_like(miss) if gamma == 0.0 else ops.power(miss, gamma)
    weights = 1.0 if alpha < 0 else ops.add(ops.scale(t, 2 * alpha - 1), 1 - alpha)
    losses = ops.multiply(ops.multiply(modulation, entropy), weights)
    # d(1 - p_t)/dx = (1 - 2 t) yes no, and of the entropy yes - t.
    by_x = ops.multiply(modulation, ops.subtract(yes, t))
    if gamma != 0.0:
        below = ops.power(np.maximum(miss, np.finfo(miss.dtype).tiny), gamma - 1.0)
        turn = ops.multiply(ops.multiply(yes, no), ops.subtract(1.0, ops.scale(t, 2.0)))
        by_x = ops.add(by_x, ops.multiply(ops.scale(ops.multiply(below, entropy), gamma), turn))
    by_x = ops.multiply(by_x, weights)
    return _reduced("sigmoid_focal_loss", losses, (by_x, None), (edge, None), reduction)


def kl_div(
    x: TensorLike,
    target: TensorLike,
    reduction: Literal["none", "mean", "sum", "batchmean"] = "mean",
    log_target: bool = False,
) -> Tensor:
    """target (log target - x), x the logarithm of a probability: the divergence of Kullback and Leibler 1951.

    Args:
        x: logarithms of probabilities, as from `log_softmax`.
        target: probabilities of x's shape, whose 0 counts 0; or their logarithms.
        reduction: "batchmean" divides the sum by the size of the first axis, which is the formula's mean; "mean"
            divides by the number of elements, as in PyTorch.
        log_target: whether target is logarithms.

    Example:
        >>> import odyssey as od
        >>> x = od.nn.functional.log_softmax(od.Tensor([[0.0, 0.0]]))
        >>> round(od.nn.functional.kl_div(x, od.Tensor([[1.0, 0.0]]), "batchmean").item(), 4)
        0.6931
    """
    log_q, t, edges = _pair("kl_div", x, target)
    if log_target:
        p = ops.exp(t)
        losses = ops.multiply(p, ops.subtract(t, log_q))
        by_target = ops.add(losses, p)
    else:
        p = t
        with np.errstate(divide="ignore"):
            log_p = ops.log(np.where(t == 0, np.ones((), t.dtype), t))
        losses = ops.subtract(ops.multiply(t, log_p), ops.multiply(t, log_q))
        by_target = ops.subtract(ops.add(log_p, 1.0), log_q)
    if reduction != "batchmean":
        return _reduced("kl_div", losses, (-p, by_target), edges, reduction)
    rows = losses.shape[0] if losses.ndim else 1
    return _recorded(ops.divide(ops.sum(losses), float(rows)), (-p, by_target), edges, 1.0 / rows if rows else 0.0)


def _pair(name: str, x: TensorLike, target: TensorLike) -> tuple[Array, Array, tuple[Edge, Edge]]:
    """Both arrays, of one shape, and their edges on the tape."""
    x_data, x_edge = operand(x)
    target_data, target_edge = operand(target)
    if np.shape(x_data) != np.shape(target_data):
        raise ShapeError(
            f"{name}: expected target of x's shape {np.shape(x_data)}, found {np.shape(target_data)}; "
            "reshape one of them"
        )
    x_data = np.asarray(x_data)
    target_data = np.asarray(target_data)
    if target_data.dtype.kind in "bui":  # labels 0 and 1, as they come
        target_data = target_data.astype(x_data.dtype)
    return x_data, target_data, (x_edge, target_edge)


def _difference(name: str, x: TensorLike, target: TensorLike) -> tuple[Array, tuple[Edge, Edge]]:
    x_data, target_data, edges = _pair(name, x, target)
    return np.asarray(ops.subtract(x_data, target_data)), edges


def _of_difference(name: str, losses: Array, slopes: Array, edges: tuple[Edge, Edge], reduction: Reduction) -> Tensor:
    """A loss of x - target: the target's slopes are x's, turned round."""
    return _reduced(name, losses, (slopes, None if edges[1] is None else -slopes), edges, reduction)


def _factors(name: str, what: str, given: TensorLike, x: Array) -> Array:
    """`given` in x's dtype, if it broadcasts to x's shape."""
    factors = array(given).astype(x.dtype, copy=False)
    try:
        fits = np.broadcast_shapes(factors.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{name}: expected a {what} that broadcasts to x's shape {x.shape}, found {factors.shape}")
    return factors


def _reduced(
    name: str,
    losses: Array,
    slopes: tuple[Array, Array | None],
    edges: tuple[Edge, Edge],
    reduction: str,
    weight: TensorLike | None = None,
) -> Tensor:
    """What has been computed element by element, as a Tensor; `slopes` are the derivatives by x and by target."""
    if weight is not None:
        factors = _factors(name, "weight", weight, losses)
        losses = ops.multiply(losses, factors)
        slopes = ops.multiply(slopes[0], factors), None if slopes[1] is None else ops.multiply(slopes[1], factors)
    if reduction == "mean":
        return _recorded(ops.mean(losses), slopes, edges, 1.0 / losses.size if losses.size else 0.0)
    if reduction == "sum":
        return _recorded(ops.sum(losses), slopes, edges, 1.0)
    if reduction == "none":
        return _recorded(losses, slopes, edges, 1.0)
    raise ValueError(f"{name}: expected reduction 'none', 'mean' or 'sum', found {reduction!r}")


def _recorded(loss: Array, slopes: tuple[Array, Array | None], edges: tuple[Edge, Edge], share: float) -> Tensor:
    return record(loss, _slopes_backward, edges, (slopes, share))


def _slopes_backward(grad: Array, node: Node) -> Gradients:
    slopes, share = node.saved
    if share != 1.0:
        grad = ops.scale(grad, share)
    by_x, by_target = (
        None if edge is None or slope is None else ops.multiply(slope, grad)
        for edge, slope in zip(node.inputs, slopes, strict=True)
    )
    return by_x, by_target

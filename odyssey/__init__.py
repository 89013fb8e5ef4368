"""odyssey: SIMD kernels over your own NumPy arrays, and the neural networks on top of them.

The functions here take arrays and return arrays; `odyssey.nn.functional` holds the same over tensors with gradients,
and `odyssey.reference` their definitions in plain NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from odyssey import isa, threads
from odyssey._kernels.activations import (
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    hard_sigmoid,
    hard_sigmoid_backward,
    hard_swish,
    hard_swish_backward,
    hard_tanh,
    hard_tanh_backward,
    leaky_relu,
    leaky_relu_backward,
    mish,
    mish_backward,
    prelu,
    prelu_backward,
    relu,
    relu6,
    relu6_backward,
    relu_backward,
    selu,
    selu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softplus,
    softplus_backward,
    swiglu,
    swiglu_backward,
    tanh,
    tanh_backward,
)
from odyssey._kernels.attention import scaled_dot_product_attention, scaled_dot_product_attention_backward
from odyssey._kernels.conv import PackedKernel, conv2d, conv2d_backward_input, conv2d_backward_weight
from odyssey._kernels.conv_transpose import (
    conv_transpose2d,
    conv_transpose2d_backward_input,
    conv_transpose2d_backward_weight,
)
from odyssey._kernels.cross_entropy import cross_entropy, cross_entropy_backward
from odyssey._kernels.dropout import dropout, dropout_backward
from odyssey._kernels.elementwise import (
    add,
    axpy,
    clip,
    clip_backward,
    cos,
    divide,
    erf,
    erf_backward,
    exp,
    fma,
    log,
    log2,
    maximum,
    minimum,
    multiply,
    power,
    reciprocal,
    scale,
    sin,
    sqrt,
    subtract,
)
from odyssey._kernels.embedding import embedding, embedding_backward
from odyssey._kernels.filter import filter2d, filter2d_backward_image, filter2d_backward_kernel
from odyssey._kernels.geometry import (
    euclidean_distance,
    euclidean_distance_backward,
    pairwise_distance,
    pairwise_distance_backward,
    poincare_distance,
    poincare_distance_backward,
    spherical_distance,
    spherical_distance_backward,
)
from odyssey._kernels.grouped import grouped_matmul
from odyssey._kernels.hyper import (
    hyper_head,
    hyper_head_backward,
    hyper_post,
    hyper_post_backward,
    hyper_pre,
    hyper_pre_backward,
)
from odyssey._kernels.linear import linear, matmul
from odyssey._kernels.manifold import (
    exp_map,
    gyration,
    log_map,
    mobius_add,
    parallel_transport,
    project_to_ball,
)
from odyssey._kernels.mhc import MHC
from odyssey._kernels.normalise import (
    batch_norm,
    batch_norm_backward,
    fold_batch_norm,
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
)
from odyssey._kernels.norms import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
from odyssey._kernels.optim import (
    adagrad_step,
    adam_step,
    adamw_step,
    clip_grad_norm,
    lars_step,
    rmsprop_step,
    sgd_step,
)
from odyssey._kernels.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    global_avg_pool2d,
    global_avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from odyssey._kernels.reduction_gradients import max_backward, min_backward, norm_backward, var_backward
from odyssey._kernels.reductions import argmax, dot, logsumexp, max, mean, min, norm, sum, var
from odyssey._kernels.rotary import rotary_embedding, rotary_embedding_backward, rotary_tables
from odyssey._kernels.routing import moe_combine, moe_combine_backward, moe_route, moe_route_backward
from odyssey._kernels.sampling import sample, topk_sample, topp_sample
from odyssey._kernels.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
from odyssey._kernels.transport import sinkhorn, sinkhorn_backward, sinkhorn_knopp, sinkhorn_knopp_backward
from odyssey.config import get_include, get_protos, library_path, show_config
from odyssey.packing import PackedWeight, pack

if TYPE_CHECKING:
    from odyssey import (
        bridge,
        config,
        data,
        errors,
        geometry,
        interop,
        memory,
        models,
        nn,
        optim,
        protocols,
        reference,
        serialization,
        testing,
        training,
    )
    from odyssey.bridge.compiling import jit
    from odyssey.geometry import forman_ricci, ollivier_ricci
    from odyssey.memory_pool import MemoryPool, aligned_empty
    from odyssey.serialization import load, save
    from odyssey.tensor import (
        BatchNormParams,
        FixedTensor,
        Float32Tensor,
        Float64Tensor,
        Kernel3x3,
        SobelX,
        SobelY,
        StaticBatch,
        Tensor,
        TypedTensor,
        enable_grad,
        grad,
        no_grad,
        use_reference,
    )

# Loaded when first asked for: `import odyssey` brings the kernels alone.
_LAZY_MODULES = (
    "bridge", "config", "data", "errors", "geometry", "interop", "memory", "models", "nn", "optim", "protocols",
    "reference", "serialization", "testing", "training",
)  # fmt: skip
_LAZY_NAMES = {
    "MemoryPool": "odyssey.memory_pool",
    "aligned_empty": "odyssey.memory_pool",
    "BatchNormParams": "odyssey.tensor",
    "FixedTensor": "odyssey.tensor",
    "Float32Tensor": "odyssey.tensor",
    "Float64Tensor": "odyssey.tensor",
    "Kernel3x3": "odyssey.tensor",
    "SobelX": "odyssey.tensor",
    "SobelY": "odyssey.tensor",
    "StaticBatch": "odyssey.tensor",
    "TypedTensor": "odyssey.tensor",
    "Tensor": "odyssey.tensor",
    "enable_grad": "odyssey.tensor",
    "grad": "odyssey.tensor",
    "no_grad": "odyssey.tensor",
    "use_reference": "odyssey.tensor",
    "jit": "odyssey.bridge.compiling",
    "forman_ricci": "odyssey.geometry",
    "ollivier_ricci": "odyssey.geometry",
    "load": "odyssey.serialization",
    "save": "odyssey.serialization",
}

__all__ = [
    # activations
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_swish",
    "hard_swish_backward",
    "hard_tanh",
    "hard_tanh_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "mish",
    "mish_backward",
    "prelu",
    "prelu_backward",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "selu",
    "selu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "swiglu",
    "swiglu_backward",
    "tanh",
    "tanh_backward",
    # attention
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
    # conv
    "conv2d",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    # conv_transpose
    "conv_transpose2d",
    "conv_transpose2d_backward_input",
    "conv_transpose2d_backward_weight",
    # cross_entropy
    "cross_entropy",
    "cross_entropy_backward",
    # dropout
    "dropout",
    "dropout_backward",
    # elementwise
    "add",
    "axpy",
    "clip",
    "clip_backward",
    "cos",
    "divide",
    "erf",
    "erf_backward",
    "exp",
    "fma",
    "log",
    "log2",
    "maximum",
    "minimum",
    "multiply",
    "power",
    "reciprocal",
    "scale",
    "sin",
    "sqrt",
    "subtract",
    # embedding
    "embedding",
    "embedding_backward",
    # filter
    "filter2d",
    "filter2d_backward_image",
    "filter2d_backward_kernel",
    # hyper
    "hyper_head",
    "hyper_head_backward",
    "hyper_post",
    "hyper_post_backward",
    "hyper_pre",
    "hyper_pre_backward",
    # linear
    "grouped_matmul",
    "linear",
    "matmul",
    # mhc
    "MHC",
    # geometry
    "euclidean_distance",
    "euclidean_distance_backward",
    "pairwise_distance",
    "pairwise_distance_backward",
    "poincare_distance",
    "poincare_distance_backward",
    "spherical_distance",
    "spherical_distance_backward",
    # manifold
    "exp_map",
    "gyration",
    "log_map",
    "mobius_add",
    "parallel_transport",
    "project_to_ball",
    # normalise
    "batch_norm",
    "batch_norm_backward",
    "fold_batch_norm",
    "group_norm",
    "group_norm_backward",
    "instance_norm",
    "instance_norm_backward",
    # norms
    "layer_norm",
    "layer_norm_backward",
    "rms_norm",
    "rms_norm_backward",
    # optim
    "adagrad_step",
    "adam_step",
    "adamw_step",
    "clip_grad_norm",
    "lars_step",
    "rmsprop_step",
    "sgd_step",
    # packing
    "PackedKernel",
    "PackedWeight",
    "pack",
    # pooling
    "avg_pool2d",
    "avg_pool2d_backward",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    # reduction_gradients
    "max_backward",
    "min_backward",
    "norm_backward",
    "var_backward",
    # reductions
    "argmax",
    "dot",
    "logsumexp",
    "max",
    "mean",
    "min",
    "norm",
    "sum",
    "var",
    # rotary
    "rotary_embedding",
    "rotary_embedding_backward",
    "rotary_tables",
    # routing
    "moe_combine",
    "moe_combine_backward",
    "moe_route",
    "moe_route_backward",
    # sampling
    "sample",
    "topk_sample",
    "topp_sample",
    # softmax
    "log_softmax",
    "log_softmax_backward",
    "softmax",
    "softmax_backward",
    # transport
    "sinkhorn",
    "sinkhorn_backward",
    "sinkhorn_knopp",
    "sinkhorn_knopp_backward",
    # around them
    "get_include",
    "get_protos",
    "library_path",
    "isa",
    "show_config",
    "threads",
    *_LAZY_MODULES,
    *_LAZY_NAMES,
]


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"odyssey.{name}")
    if name in _LAZY_NAMES:
        value = getattr(import_module(_LAZY_NAMES[name]), name)
        globals()[name] = value
        return value
    if name == "__version__":
        return import_module("odyssey.config").build_info()["version"]
    raise AttributeError(f"module 'odyssey' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))

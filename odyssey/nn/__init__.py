"""Neural-network layers, losses and initialisers.

`functional` has the operations; a layer is an operation with its parameters. `Module` finds parameters by walking its
attributes, so a layer is an ordinary class: assign Parameters and Modules to `self`, define `forward`.
"""

from odyssey.nn import functional, init
from odyssey.nn.activations import (
    ELU,
    GELU,
    SELU,
    HardSigmoid,
    HardSwish,
    HardTanh,
    LeakyReLU,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from odyssey.nn.attention import MultiHeadAttention
from odyssey.nn.containers import ModuleList, Residual, Sequential
from odyssey.nn.conv import Conv2d, ConvTranspose2d, SeparableConv2d
from odyssey.nn.dropout import Dropout, Dropout2d
from odyssey.nn.embedding import Embedding
from odyssey.nn.fold import Foldable, FrozenConv2d, fold_batch_norm
from odyssey.nn.hyper import HyperConnection, HyperHead, ResidualAdd, residual
from odyssey.nn.linear import Flatten, Identity, Linear
from odyssey.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    FocalLoss,
    HingeEmbeddingLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    SmoothL1Loss,
)
from odyssey.nn.module import Buffer, Module, Parameter
from odyssey.nn.moe import MixtureOfExperts
from odyssey.nn.norms import BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm, RMSNorm
from odyssey.nn.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from odyssey.nn.stored import StoredWeight
from odyssey.nn.summary import Summary, summary

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "Embedding",
    "Flatten",
    "FocalLoss",
    "Foldable",
    "FrozenConv2d",
    "GlobalAvgPool2d",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "HyperConnection",
    "HyperHead",
    "Identity",
    "InstanceNorm2d",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Mish",
    "MixtureOfExperts",
    "Module",
    "ModuleList",
    "MultiHeadAttention",
    "PReLU",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "Residual",
    "ResidualAdd",
    "SeparableConv2d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "StoredWeight",
    "Summary",
    "Tanh",
    "fold_batch_norm",
    "functional",
    "init",
    "residual",
    "summary",
]

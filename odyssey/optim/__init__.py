"""Optimizers and learning-rate schedules."""

from odyssey.optim.adagrad import Adagrad
from odyssey.optim.adam import Adam, AdamW
from odyssey.optim.clip import clip_grad_norm_, clip_grad_value_
from odyssey.optim.ema import EMA
from odyssey.optim.lars import LARS
from odyssey.optim.optimizer import Optimizer
from odyssey.optim.riemannian import RiemannianAdam, RiemannianSGD
from odyssey.optim.rmsprop import RMSprop
from odyssey.optim.schedules import (
    ObservingSchedule,
    Plateau,
    constant,
    cosine,
    exponential,
    multistep,
    step_decay,
    warmup,
)
from odyssey.optim.sgd import SGD

__all__ = [
    "EMA",
    "LARS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "ObservingSchedule",
    "Optimizer",
    "Plateau",
    "RMSprop",
    "RiemannianAdam",
    "RiemannianSGD",
    "clip_grad_norm_",
    "clip_grad_value_",
    "constant",
    "cosine",
    "exponential",
    "multistep",
    "step_decay",
    "warmup",
]

"""Optimizers and learning-rate schedules."""

from odyssey.optim.adagrad import Adagrad
from odyssey.optim.adam import Adam, AdamW
from odyssey.optim.clip import clip_grad_norm_
from odyssey.optim.lars import LARS
from odyssey.optim.optimizer import Optimizer
from odyssey.optim.riemannian import RiemannianAdam, RiemannianSGD
from odyssey.optim.rmsprop import RMSprop
from odyssey.optim.schedules import constant, cosine
from odyssey.optim.sgd import SGD

__all__ = [
    "LARS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "RiemannianAdam",
    "RiemannianSGD",
    "clip_grad_norm_",
    "constant",
    "cosine",
]

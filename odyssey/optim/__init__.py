"""Optimizers and learning-rate schedules."""

from odyssey.optim.adam import Adam, AdamW
from odyssey.optim.optimizer import Optimizer
from odyssey.optim.schedules import constant, cosine
from odyssey.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "constant", "cosine"]

"""Training: the loop, what watches it, and how it is resumed."""

from odyssey.training.callbacks import Callback, EarlyStopping
from odyssey.training.checkpoint import CheckpointCallback, load_checkpoint, save_checkpoint
from odyssey.training.evaluation import Evaluation, RegressionEvaluation, evaluate, evaluate_regression
from odyssey.training.metrics import MetricsFile
from odyssey.training.trainer import Trainer

__all__ = [
    "Callback",
    "CheckpointCallback",
    "EarlyStopping",
    "Evaluation",
    "MetricsFile",
    "RegressionEvaluation",
    "Trainer",
    "evaluate",
    "evaluate_regression",
    "load_checkpoint",
    "save_checkpoint",
]

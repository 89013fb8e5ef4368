"""Training: the loop, what watches it, and how it is resumed."""

from odyssey.training.callbacks import Callback, EarlyStopping
from odyssey.training.checkpoint import CheckpointCallback, load_checkpoint, save_checkpoint
from odyssey.training.evaluation import (
    Evaluation,
    RegressionEvaluation,
    TextEvaluation,
    evaluate,
    evaluate_regression,
    evaluate_text,
)
from odyssey.training.metrics import MetricsFile
from odyssey.training.tasks import Classification, NextToken, Regression, Task
from odyssey.training.trainer import Trainer

__all__ = [
    "Callback",
    "CheckpointCallback",
    "Classification",
    "EarlyStopping",
    "Evaluation",
    "MetricsFile",
    "NextToken",
    "Regression",
    "RegressionEvaluation",
    "Task",
    "TextEvaluation",
    "Trainer",
    "evaluate",
    "evaluate_regression",
    "evaluate_text",
    "load_checkpoint",
    "save_checkpoint",
]

"""Training: the loop, what watches it, and how it is resumed."""

from odyssey.training.callbacks import Callback
from odyssey.training.checkpoint import CheckpointCallback, load_checkpoint, save_checkpoint
from odyssey.training.evaluation import Evaluation, evaluate
from odyssey.training.metrics import MetricsFile
from odyssey.training.trainer import Trainer

__all__ = [
    "Callback",
    "CheckpointCallback",
    "Evaluation",
    "MetricsFile",
    "Trainer",
    "evaluate",
    "load_checkpoint",
    "save_checkpoint",
]

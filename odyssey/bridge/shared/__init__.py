"""Large tensors between processes: the descriptor travels, the bytes stay."""

from odyssey.bridge.shared.handover import HandoverError
from odyssey.bridge.shared.manager import SharedMemoryManager
from odyssey.bridge.shared.ring import RingBatch, RingFeed, SharedRing, WorkerDied
from odyssey.bridge.shared.tensor import SharedTensor

__all__ = [
    "HandoverError",
    "RingBatch",
    "RingFeed",
    "SharedMemoryManager",
    "SharedRing",
    "SharedTensor",
    "WorkerDied",
]

"""ResNet-18 in odyssey and in PyTorch: the same weights and images, one step of training or inference.

Images have CIFAR's size. PyTorch runs in each form that its tuning guide names for a CPU: channels last throughout, the
fused optimizer, inference mode, batch norms folded by torch.fx, and folded in the usual layout.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from odyssey.bench.limits import running
from odyssey.bench.peers import absent
from odyssey.bench.race import Contender, PythonCall
from odyssey.bench.suites import OURS
from odyssey.typing import Array

__all__ = ["Task", "Workload", "peak_bytes"]

Task: TypeAlias = Literal["training", "inference"]

CLASSES, SIZE = 10, 32
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 5e-4
TOLERANCE = 1e-3  # of the largest logit, or of the loss: float32 through twenty layers


class Workload:
    """One step of a task on a batch, for everybody who can do it."""

    def __init__(self, task: Task, batch: int) -> None:
        self.task = task
        self.batch = batch
        self._images, self._labels = _data(batch)
        self._expected = self._in_double()

    def contenders(self, threads: int, isa: str | None = None) -> list[Contender]:
        """odyssey first, then PyTorch's forms where it is installed. PyTorch's threads are the caller's affair."""
        given = self.task, self._images, self._labels
        found: list[Contender] = [PythonCall(OURS, _odyssey(*given), around=partial(running, threads, isa))]
        if absent("torch") is None:
            found += [PythonCall(name, call) for name, call in _torch(*given).items()]
        return found

    def check(self, name: str, result: Any) -> str | None:
        """What is wrong with a contender's loss or logits; None if nothing."""
        found = np.asarray(result.detach() if hasattr(result, "detach") else result, np.float64)
        error = float(np.max(np.abs(found - self._expected)))
        largest = float(np.max(np.abs(self._expected)))
        return None if error <= TOLERANCE * largest else f"off by {error:.3g} where values reach {largest:.3g}"

    def _in_double(self) -> Array:
        """What comes out, computed in float64 and without folding."""
        from odyssey.nn.functional import cross_entropy
        from odyssey.tensor import no_grad

        model = _model().train(self.task == "training")
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.astype(np.float64)
        with no_grad():
            logits = model(self._images.astype(np.float64))
            result = cross_entropy(logits, self._labels) if self.task == "training" else logits
        return np.array(result.data)


def _data(batch: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, 3, SIZE, SIZE), np.float32), rng.integers(0, CLASSES, batch)


def _model() -> Any:
    """A model whose norms have seen something, so that folding them matters."""
    from odyssey.models import ResNet18

    rng = np.random.default_rng(1)
    model = ResNet18(CLASSES, generator=rng)
    for name, buffer in model.named_buffers():
        low = 0.5 if name.endswith("running_var") else -0.2
        buffer.data[...] = rng.uniform(low, low + 0.7, buffer.shape)
    return model


def _odyssey(task: Task, images: Array, labels: Array) -> Callable[[], Any]:
    from odyssey.nn import fold_batch_norm
    from odyssey.nn.functional import cross_entropy
    from odyssey.optim import SGD
    from odyssey.tensor import no_grad

    model = _model()
    if task == "inference":
        folded = fold_batch_norm(model)

        def infer() -> Any:
            with no_grad():
                return folded(images)

        return infer
    optimizer = SGD(model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)

    def train() -> Any:
        loss = cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return train


def _torch(task: Task, images: Array, labels: Array) -> dict[str, Callable[[], Any]]:
    """PyTorch's forms of the task, by name."""
    torch: Any = import_module("torch")
    model = _torch_model(torch)
    last = {"memory_format": torch.channels_last}
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    if task == "training":
        model, x = model.train().to(**last), x.to(**last)
        optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True)

        def train() -> Any:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return {"torch, channels last": train}

    def inference(some: Any, images: Any) -> Callable[[], Any]:
        def infer() -> Any:
            with torch.inference_mode():
                return some(images)

        return infer

    fuse: Any = import_module("torch.fx.experimental.optimization").fuse
    model = model.eval()
    folded = fuse(model)
    return {
        "torch, channels last": inference(deepcopy(model).to(**last), x.to(**last)),
        "torch, channels last, folded": inference(deepcopy(folded).to(**last), x.to(**last)),
        "torch, folded": inference(folded, x),
    }


def _torch_model(torch: Any) -> Any:
    """torchvision's ResNet-18 with the stem for 32x32 images, and our weights."""
    from odyssey.models import resnet18_state
    from odyssey.models.resnet18 import STAGES

    nn, relu = torch.nn, torch.nn.functional.relu

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, inputs: int, channels: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)
            self.downsample = None
            if stride != 1:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
                )

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)), inplace=True)))
            y += x if self.downsample is None else self.downsample(x)
            return relu(y, inplace=True)

    class ResNet18(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            inputs = STAGES[0]
            self.conv1 = nn.Conv2d(3, inputs, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(inputs)
            for i, channels in enumerate(STAGES, 1):
                blocks = Block(inputs, channels, 1 + (i > 1)), Block(channels, channels, 1)
                setattr(self, f"layer{i}", nn.Sequential(*blocks))
                inputs = channels
            self.fc = nn.Linear(inputs, CLASSES)

        def forward(self, x: Any) -> Any:
            x = relu(self.bn1(self.conv1(x)), inplace=True)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    model = ResNet18()
    model.load_state_dict({name: torch.tensor(array) for name, array in resnet18_state(_model()).items()})
    return model


# ---- memory ----------------------------------------------------------------------------------------------------------

# One process for each: what the libraries take when imported is the baseline, then all that two steps add to it.
PROGRAM = """
import resource, sys
sys.path.insert(0, {root!r})
from odyssey.bench import resnet18
from odyssey.bench.peers import equal_threads
import odyssey.models, odyssey.nn, odyssey.optim
{imports}
with open("/proc/self/statm") as file:
    baseline = int(file.read().split()[1]) * resource.getpagesize()
with equal_threads({threads}):
    step = resnet18.step_of({who!r}, {batch})
    for _ in range(2):
        step()
with open("/proc/self/status") as file:
    # Not getrusage's ru_maxrss, which begins with what the process that forked this one held.
    peak = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))
print(peak - baseline)
"""


def step_of(who: str, batch: int) -> Callable[[], Any]:
    """A training step of odyssey or torch, with all that belongs to it."""
    images, labels = _data(batch)
    if who == OURS:
        return _odyssey("training", images, labels)
    return _torch("training", images, labels)["torch, channels last"]


def peak_bytes(who: str, batch: int, threads: int) -> int:
    """The most memory that a process of its own takes for two training steps, above what its imports took."""
    imports = "" if who == OURS else "import torch, torch.optim, torch.utils.data"
    root = str(Path(__file__).parents[2])
    program = PROGRAM.format(root=root, imports=imports, who=who, batch=batch, threads=threads)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return int(done.stdout)

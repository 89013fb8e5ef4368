"""ResNet-18's recipe on a handful of small images: what it puts together, and that a run goes on to the same bits."""

import json

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("safetensors")
from click.testing import CliRunner

import odyssey as od
from odyssey.cli.main import cli
from odyssey.data.images import ImageData, ImageDataset
from odyssey.training import Callback, recipe, resnet18
from odyssey.training.resnet18 import ResNet18Recipe
from odyssey.training.run import RunFolder


def few_images(channels=3, count=28):
    """Dark images and bright ones, 8x8."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = rng.uniform(0, 0.3, (count, channels, 8, 8)).astype(np.float32) + 0.5 * labels[:, None, None, None]
    images = images.astype(np.float32)
    parts = [ImageDataset(images[p], labels[p], 0.4, 0.3) for p in (slice(0, 20), slice(20, None))]
    return ImageData("few", *parts, ("dark", "bright"), 8)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(resnet18, "load_digits", few_images)
    monkeypatch.setattr("odyssey.models.resnet18.STAGES", (8, 16, 16, 16))  # a file of 90 MB would be written ten times


class StopAfter(Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, trainer):
        if trainer.step == self.step:
            trainer.stop()


def digest(trainer):
    arrays = {**trainer.model.state_dict(), **trainer.optimizer.state_dict()}
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


def test_a_run_stopped_in_the_middle_of_an_epoch_resumes_to_the_same_bits(tmp_path):
    settings = ResNet18Recipe(epochs=2, batch_size=6)
    whole, _, _ = recipe.start(settings, RunFolder(tmp_path / "whole"))
    whole.fit(2)
    first, _, _ = recipe.start(settings, RunFolder(tmp_path / "run"))
    first.callbacks.insert(0, StopAfter(6))
    first.fit(2)
    assert (first.epoch, first.step) == (1, 6)
    second, _, again = recipe.resume(ResNet18Recipe, RunFolder(tmp_path / "run"), {})
    assert second.step == 6
    assert (again.epochs, again.batch_size, again.lr) == (2, 6, 0.05)
    second.fit(2)
    assert digest(second) == digest(whole)
    assert [m["train_loss"] for m in second.history] == [m["train_loss"] for m in whole.history]


def test_the_schedules_fall_as_they_say(tmp_path):
    data = few_images()
    step = ResNet18Recipe(epochs=4, batch_size=4, schedule="step").settled().trainer(data).schedule
    assert [step(i) for i in (0, 9, 10, 14, 15, 19)] == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01, 0.01])
    cosine = ResNet18Recipe(epochs=4, batch_size=4).settled().trainer(data).schedule
    assert cosine(4) == 1.0
    assert cosine(0) < 0.3
    assert cosine(19) < 0.05


def test_the_command_trains_and_resumes(tmp_path):
    out = tmp_path / "run"

    def odyssey(*args):
        return CliRunner().invoke(cli, ["train", "resnet18", *map(str, args)])

    result = odyssey("--epochs", 2, "--batch-size", 10, "--out", out, "--threads", 1, "--keep-last", 1)
    assert result.exit_code == 0, result.output
    assert "ResNet-18 on few: 20 images of 8x8 to learn from, 8 held out, 2 classes" in result.stdout
    names = {path.name for path in out.glob("checkpoint*")}
    assert names == {f"checkpoint{which}.safetensors" for which in ("", "-best", "-2")}
    config = json.loads((out / "config.json").read_text())
    assert config["model"] == {"name": "resnet18", "arguments": {"num_classes": 2, "in_channels": 3, "stem": "cifar"}}
    assert config["training"]["weight_decay"] == 5e-4
    model = od.models.ResNet18(**config["model"]["arguments"])
    model.load_state_dict(od.load(out / "model.safetensors"))
    assert odyssey("--resume", out).exit_code == 0
    picture = pytest.importorskip("PIL.Image").fromarray(np.full((8, 8, 3), 170, np.uint8))
    picture.save(tmp_path / "bright.png")
    predicted = CliRunner().invoke(cli, ["predict", str(out), str(tmp_path / "bright.png")])
    assert predicted.exit_code == 0, predicted.output
    assert {line.split()[0] for line in predicted.stdout.splitlines()} == {"dark", "bright"}
    result = odyssey("--resume", out, "--schedule", "step")
    assert result.exit_code == 2
    assert "expected schedule cosine, with which the run began, found step" in result.stderr


def test_images_in_colour_are_cut_and_mirrored_as_bytes():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (9, 3, 8, 8), np.uint8), np.arange(9) % 3
    data = ImageData("bytes", *[ImageDataset(images, labels, (0.4, 0.5, 0.6), (0.2, 0.3, 0.2))] * 2, ("a", "b", "c"), 8)
    trainer = ResNet18Recipe(data="somewhere", batch_size=4).settled().trainer(data)
    group = trainer.optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.9, 5e-4)
    batch, _ = next(iter(trainer.loader))
    assert (batch.shape, batch.dtype) == ((4, 3, 8, 8), np.float32)
    plain = data.train.batch(np.arange(9))[0]
    assert not any(np.array_equal(one, other) for one in batch for other in plain)


def test_a_folder_of_cifar_is_trained_on(tmp_path):
    from cifar_files import cifar10

    folder = cifar10(tmp_path / "cifar", each=4)
    recipe_ = ResNet18Recipe(data=str(folder), epochs=1, batch_size=10).settled()
    data = recipe_.load_data()
    trainer = recipe_.trainer(data)
    trainer.fit(1)
    assert trainer.history[0]["step"] == 2
    assert len(data.classes) == 10

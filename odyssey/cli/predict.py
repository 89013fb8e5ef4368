"""`odyssey predict`: the likeliest classes of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["predict"]

SHOWN = 3


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("image", metavar="IMAGE.png")
@click.option("--invert", is_flag=True, help="The image has dark ink on light paper; the models learned the opposite.")
def predict(run: str, image: str, invert: bool) -> None:
    """Show the three likeliest classes of an image, by the model of a RUN folder.

    The image must have the size the model was trained on. For a model of grey images colours are turned to grey.
    """
    import numpy as np

    from odyssey.data.images import standardise
    from odyssey.errors import FormatError
    from odyssey.models import LeNet5, ResNet18
    from odyssey.nn.functional import softmax
    from odyssey.serialization.tensors import load
    from odyssey.tensor.tape import no_grad
    from odyssey.training.run import RunFolder

    folder = RunFolder(run)
    models = {"lenet5": LeNet5, "resnet18": ResNet18}
    config = folder.config(*models)
    name = config["model"]["name"]
    try:
        model = models[name](**config["model"]["arguments"])
        mean, std = (_figures(config["data"][part]) for part in ("mean", "std"))
        size = int(config["data"]["image_size"])
        classes = [str(name) for name in config["data"]["classes"]]
        if len(classes) != model.num_classes:
            raise ValueError(f"{len(classes)} classes for {model.num_classes} outputs")
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{folder.config_path}: expected the configuration of a run of {name}, found it damaged ({error}); "
            "restore it from where it was copied"
        ) from error
    if not folder.model_path.is_file():
        raise FileNotFoundError(
            f"{folder.model_path}: expected a trained model, found none; "
            f"finish the run: odyssey train {name} --resume {folder.path}"
        )
    model.load_state_dict(load(folder.model_path))
    pixels = read_image(Path(image), size, model.in_channels)
    if invert:
        pixels = 1 - pixels
    with no_grad():
        probabilities = softmax(model.eval()(standardise(pixels, mean, std)[None])).numpy()[0]
    for index in np.argsort(-probabilities, kind="stable")[:SHOWN]:
        click.echo(f"{classes[index]:>3}  {probabilities[index]:7.2%}")


def _figures(value: Any) -> float | list[float]:
    """A mean or deviation of the configuration: one for all channels, or a list of one for each."""
    return [float(one) for one in value] if isinstance(value, list) else float(value)


def read_image(path: Path, size: int, channels: int) -> Any:
    """The image as (channels, size, size) float32 in [0, 1], grey or of red, green and blue.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: it is not an image, or of another size.
    """
    import warnings

    import numpy as np

    from odyssey.data.picture import open_picture
    from odyssey.errors import FormatError

    with warnings.catch_warnings(), open_picture(path) as picture:
        warnings.simplefilter("ignore")
        if picture.size != (size, size):  # before the pixels are unpacked: a small file can hold a huge image
            raise FormatError(
                f"{path}: expected an image of {size}x{size} pixels, as the model was trained on, found "
                f"{picture.width}x{picture.height}; resize it, e.g. with Pillow: "
                f"Image.open(...).resize(({size}, {size}))"
            )
        if picture.mode.startswith("I"):  # 16 bits a pixel; Pillow's conversion would cut them off
            pixels = (np.asarray(picture, np.float32) / np.float32(65535)).clip(0, 1)
            return np.repeat(pixels[None], channels, axis=0)
        pixels = np.asarray(picture.convert("RGB" if channels == 3 else "L"), np.float32) / np.float32(255)
        return np.ascontiguousarray(pixels.reshape(size, size, channels).transpose(2, 0, 1))

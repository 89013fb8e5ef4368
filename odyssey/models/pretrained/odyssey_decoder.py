"""Our own decoders: settings and tensors by our own names, so that there are words for all of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from odyssey.errors import FormatError
from odyssey.models.decoder import Decoder, DecoderConfig, RopeScaling
from odyssey.models.moe import MoEConfig, MoETransformer
from odyssey.models.pretrained.folder import CONFIG, Folder
from odyssey.models.pretrained.weights import Loading, Names, fill
from odyssey.nn.hyper import HyperConnection, HyperHead
from odyssey.nn.module import Parameter
from odyssey.nn.stored import StoredWeight, named_stored_weights

__all__ = ["read", "write"]


def read(folder: Folder, loading: Loading) -> Decoder:
    """The model of a folder; see `odyssey.models.from_pretrained`."""
    sparse = folder.config["model_type"] == MoETransformer.model_type
    config = _config(folder, MoEConfig if sparse else DecoderConfig)
    model = (MoETransformer if sparse else Decoder).without_weights(config)
    names = _names(model)
    fill(model, folder, names, loading, whole=[name for name in names if name.endswith(".router")])
    for module in model.modules():
        if isinstance(module, (HyperConnection, HyperHead)):  # they take arrays alone
            for name, value in vars(module).items():
                if isinstance(value, StoredWeight):
                    setattr(module, name, Parameter(value.widened()))
    return model


def _config(folder: Folder, kind: type[DecoderConfig]) -> DecoderConfig:
    where = folder.path / CONFIG
    fields = {field.name: field for field in dataclasses.fields(kind)}
    given = {name: value for name, value in folder.config.items() if name in fields}
    missing = [
        name for name, field in fields.items() if field.default is dataclasses.MISSING and given.get(name) is None
    ]
    if missing:
        raise FormatError(f"{where}: expected the settings of a decoder, found none for {', '.join(missing)}; add them")
    try:
        if isinstance(given.get("rope_scaling"), dict):
            given["rope_scaling"] = RopeScaling(**given["rope_scaling"])
        for name, value in given.items():
            if isinstance(value, list):
                given[name] = tuple(value)
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: expected settings of a decoder, found: {error}") from None


def write(model: Decoder) -> tuple[dict[str, Any], Names]:
    """The settings and names of a Decoder or MoETransformer."""
    settings = dataclasses.asdict(model.config)
    return {"architectures": [type(model).__name__], "model_type": model.model_type, **settings}, _names(model)


def _names(model: Decoder) -> Names:
    held = [*(name for name, _ in model.named_parameters()), *(name for name, _ in named_stored_weights(model))]
    return {name: name for name in held}

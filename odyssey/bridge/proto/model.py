"""Models and training runs, as `protos/model.proto` has them.

They are plain dataclasses over arrays and know no model of ours: `Model.of` takes whatever has a `state_dict`. Fields
that a later version added are kept in `unknown`, and written again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odyssey.bridge.proto.schema import messages
from odyssey.bridge.proto.tensors import Elements, Gathered, read_tensor, write_tensor
from odyssey.errors import DTypeError, FormatError
from odyssey.protocols import Serializable
from odyssey.serialization.arrays import as_array
from odyssey.typing import Array

__all__ = ["CLASSES", "KEPT", "Checkpoint", "Layer", "Model", "ModelConfig", "from_message", "to_message"]

VERSION = 1

KEPT = "_odyssey_unknown_fields"
"""The attribute in which an object keeps the fields of a later version of its class."""


@dataclass
class ModelConfig:
    """How to make a model: which class, with which arguments.

    Attributes:
        kind: the name of the class.
        options: its arguments by name: whatever `proto.dumps` takes.
        version: of what the options mean.
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION
    unknown: bytes = field(default=b"", repr=False, kw_only=True)


@dataclass
class Layer:
    """The arrays of one part of a model.

    Attributes:
        name: its name in the model, with dots; empty for the model itself.
        kind: the name of its class, where known.
        parameters: its own arrays by name, (any shape), any dtype of `odyssey.bridge.types`.
        options: what else is to be known of it.
    """

    name: str
    kind: str = ""
    parameters: dict[str, Array] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    unknown: bytes = field(default=b"", repr=False, kw_only=True)


@dataclass
class Model:
    """A model: how it is made, and its arrays, layer by layer.

    Attributes:
        layers: in the model's order.
        config: how to make it.
        metadata: text to go along.
        version: of this description.

    Example:
        >>> import odyssey as od
        >>> model = Model.of(od.nn.Linear(4, 2), ModelConfig("Linear", {"in_features": 4, "out_features": 2}))
        >>> model.layers[0].kind, sorted(model.state_dict())
        ('Linear', ['bias', 'weight'])
    """

    layers: list[Layer] = field(default_factory=list)
    config: ModelConfig | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    version: int = VERSION
    unknown: bytes = field(default=b"", repr=False, kw_only=True)

    @classmethod
    def of(
        cls, model: Serializable, config: ModelConfig | None = None, metadata: Mapping[str, str] | None = None
    ) -> Model:
        """The arrays of a model, not copied, under the layers that their dotted names tell of."""
        named_modules = getattr(model, "named_modules", dict)
        kinds = {name: type(module).__name__ for name, module in dict(named_modules()).items()}
        layers: dict[str, Layer] = {}
        for name, value in model.state_dict().items():
            owner, _, own = name.rpartition(".")
            array = as_array(value)
            if array is None:
                raise DTypeError(
                    f"proto.Model.of: expected arrays in state_dict(), found {type(value).__name__} at {name}"
                )
            layers.setdefault(owner, Layer(owner, kinds.get(owner, ""))).parameters[own] = array
        return cls(list(layers.values()), config, dict(metadata or {}))

    def state_dict(self) -> dict[str, Array]:
        """The arrays by their dotted names, for `load_state_dict`.

        Raises:
            FormatError: two have the same name.
        """
        found: dict[str, Array] = {}
        for layer in self.layers:
            for name, array in layer.parameters.items():
                whole = f"{layer.name}.{name}" if layer.name else name
                if whole in found:
                    raise FormatError(
                        f"proto.Model: expected the names of parameters to be different, found {whole!r} twice"
                    )
                found[whole] = array
        return found


@dataclass
class Checkpoint:
    """A training run, to go on from.

    Attributes:
        model: its arrays and how it was made.
        optimizer: the optimizer's state: arrays and numbers by name.
        trainer: that of whatever else goes on: step, epoch, where the loader was, history.
        run: what is trained on what, and how.
        version: of this description.
    """

    model: Model
    optimizer: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION
    unknown: bytes = field(default=b"", repr=False, kw_only=True)


CLASSES: dict[type, str] = {kind: kind.__name__ for kind in (ModelConfig, Layer, Model, Checkpoint)}
"""Our classes, and the names of their messages."""

WriteNamed = Callable[[Any, Mapping[str, Any]], None]
ReadNamed = Callable[[Any], dict[str, Any]]


def to_message(value: Any, gathered: Gathered | None, write_named: WriteNamed) -> Any:
    """The message of one of our objects; `write_named` fills repeated Values from a mapping."""
    message = getattr(messages(), CLASSES[type(value)])()
    _FILL[type(value)](message, value, gathered, write_named)
    return message


def from_message(message: Any, elements: Elements, read_named: ReadNamed) -> Any:
    """The object of one of our messages; `read_named` gives a mapping from repeated Values."""
    return _MAKE[message.DESCRIPTOR.name](message, elements, read_named)


def _fill_config(message: Any, value: ModelConfig, gathered: Gathered | None, write_named: WriteNamed) -> None:
    message.MergeFromString(value.unknown)
    message.version, message.kind = value.version, value.kind
    write_named(message.options, value.options)


def _fill_layer(message: Any, value: Layer, gathered: Gathered | None, write_named: WriteNamed) -> None:
    message.MergeFromString(value.unknown)
    message.name, message.kind = value.name, value.kind
    for name, array in value.parameters.items():
        found = as_array(array)
        if found is None:
            raise DTypeError(f"proto.Layer: expected arrays as parameters, found {type(array).__name__} as {name}")
        parameter = message.parameters.add(name=name)
        write_tensor(parameter.tensor, found, gathered)
    write_named(message.options, value.options)


def _fill_model(message: Any, value: Model, gathered: Gathered | None, write_named: WriteNamed) -> None:
    message.MergeFromString(value.unknown)
    message.version = value.version
    if value.config is not None:
        message.config.SetInParent()
        _fill_config(message.config, value.config, gathered, write_named)
    for layer in value.layers:
        _fill_layer(message.layers.add(), layer, gathered, write_named)
    message.metadata.update(value.metadata)


def _fill_checkpoint(message: Any, value: Checkpoint, gathered: Gathered | None, write_named: WriteNamed) -> None:
    message.MergeFromString(value.unknown)
    message.version = value.version
    message.model.SetInParent()
    _fill_model(message.model, value.model, gathered, write_named)
    for name in ("optimizer", "trainer", "run"):
        write_named(getattr(message, name), getattr(value, name))


def _make_config(message: Any, elements: Elements, read_named: ReadNamed) -> ModelConfig:
    return ModelConfig(message.kind, read_named(message.options), message.version, unknown=_unknown(message))


def _make_layer(message: Any, elements: Elements, read_named: ReadNamed) -> Layer:
    parameters = {one.name: read_tensor(one.tensor, elements) for one in message.parameters}
    if len(parameters) != len(message.parameters):
        raise FormatError(
            f"proto: expected a layer's parameters to have different names, found one twice in {message.name!r}"
        )
    return Layer(message.name, message.kind, parameters, read_named(message.options), unknown=_unknown(message))


def _make_model(message: Any, elements: Elements, read_named: ReadNamed) -> Model:
    config = _make_config(message.config, elements, read_named) if message.HasField("config") else None
    layers = [_make_layer(layer, elements, read_named) for layer in message.layers]
    return Model(layers, config, dict(message.metadata), message.version, unknown=_unknown(message))


def _make_checkpoint(message: Any, elements: Elements, read_named: ReadNamed) -> Checkpoint:
    return Checkpoint(
        _make_model(message.model, elements, read_named),
        read_named(message.optimizer),
        read_named(message.trainer),
        read_named(message.run),
        message.version,
        unknown=_unknown(message),
    )


def _unknown(message: Any) -> bytes:
    """The fields that this version of the message does not know, serialised."""
    rest = type(message)()
    rest.CopyFrom(message)
    for one in message.DESCRIPTOR.fields:
        rest.ClearField(one.name)
    return bytes(rest.SerializeToString())


_FILL: dict[type, Callable[..., None]] = {
    ModelConfig: _fill_config,
    Layer: _fill_layer,
    Model: _fill_model,
    Checkpoint: _fill_checkpoint,
}
_MAKE: dict[str, Callable[..., Any]] = {
    "ModelConfig": _make_config,
    "Layer": _make_layer,
    "Model": _make_model,
    "Checkpoint": _make_checkpoint,
}

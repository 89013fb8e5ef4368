"""Models and checkpoints as messages."""

import numpy as np
import pytest
from same import same

import odyssey as od
from odyssey.bridge import proto
from odyssey.errors import DTypeError, FormatError


def test_a_model_comes_back_layer_by_layer():
    network = od.models.LeNet5()
    model = proto.Model.of(network, proto.ModelConfig("LeNet5", {"num_classes": 10, "sizes": (1, 2)}), {"note": "ü"})
    for back in (
        proto.loads(proto.dumps(model)),
        proto.from_message(proto.message(model)),
        proto.loads(proto.dumps([model]), list[proto.Model])[0],
    ):
        assert [(layer.name, layer.kind) for layer in back.layers][:2] == [("conv1", "Conv2d"), ("conv2", "Conv2d")]
        assert (back.config, back.metadata, back.version) == (model.config, model.metadata, 1)
        assert same(back.state_dict(), network.state_dict())
        od.models.LeNet5().load_state_dict(back.state_dict())


def test_a_model_of_ones_own_needs_a_state_dict_alone():
    class Own:
        def state_dict(self):
            return {"w": np.ones(2), "part.b": od.Tensor([1.0]), "a.b.c": np.zeros(())}

    model = proto.Model.of(Own())
    assert [(layer.name, layer.kind, list(layer.parameters)) for layer in model.layers] == [
        ("", "", ["w"]),
        ("part", "", ["b"]),
        ("a.b", "", ["c"]),
    ]
    assert list(proto.loads(proto.dumps(model)).state_dict()) == ["w", "part.b", "a.b.c"]

    class Odd(Own):
        def state_dict(self):
            return {"steps": 3}

    with pytest.raises(DTypeError, match="found int at steps"):
        proto.Model.of(Odd())


def test_a_checkpoint_holds_nested_state():
    model = od.nn.Linear(3, 2)
    optimizer = od.optim.Adam(model.parameters(), lr=0.1)
    rng = np.random.default_rng(1).bit_generator.state
    checkpoint = proto.Checkpoint(
        proto.Model.of(model),
        optimizer.state_dict(),
        {"step": 3, "rng": rng, "history": [{"loss": 0.5}]},
        {"lr": 0.1, "data": None, "seeds": (1, 2)},
    )
    back = proto.loads(proto.dumps(checkpoint), proto.Checkpoint)
    assert same(back.trainer, checkpoint.trainer)
    assert same(back.run, checkpoint.run)
    assert same(
        {name: np.asarray(value) for name, value in back.optimizer.items()},
        {name: np.asarray(value) for name, value in checkpoint.optimizer.items()},
    )
    assert same(back.model.state_dict(), model.state_dict())
    layer = proto.Layer("x", options={"a": 1})
    assert proto.loads(proto.dumps(layer)) == layer
    assert proto.loads(proto.dumps(proto.ModelConfig("A", {"b": [1]}))) == proto.ModelConfig("A", {"b": [1]})
    assert proto.loads(proto.dumps(proto.Model())) == proto.Model()


def test_names_that_stand_twice_are_refused():
    layers = [proto.Layer("a", parameters={"b.c": np.ones(1)}), proto.Layer("a.b", parameters={"c": np.ones(1)})]
    with pytest.raises(FormatError, match=r"'a.b.c'"):
        proto.loads(proto.dumps(proto.Model(layers))).state_dict()
    message = proto.message(proto.Layer("a", parameters={"b": np.ones(1), "c": np.ones(1)}))
    message.parameters[1].name = "b"
    with pytest.raises(FormatError, match="found one twice in 'a'"):
        proto.from_message(message)


def test_what_is_not_of_the_type_asked_for_is_refused():
    with pytest.raises(FormatError, match="expected a Model"):
        proto.loads(proto.dumps({"a": 1}), proto.Model)

import copy

import numpy as np
import pytest

import odyssey as od
from odyssey import nn
from odyssey.errors import DTypeError, FormatError, ShapeError


class Net(nn.Module):
    def __init__(self):
        self.first = nn.Linear(4, 3)
        self.blocks = [nn.Linear(3, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2, bias=False))]
        self.heads = {"a": nn.Linear(2, 1)}
        self.scale = nn.Parameter(np.ones(1, np.float32))

    def forward(self, x):
        return self.heads["a"](self.blocks[1](self.blocks[0](self.first(x)))) * self.scale


NAMES = [
    "first.weight",
    "first.bias",
    "blocks.0.weight",
    "blocks.0.bias",
    "blocks.1.1.weight",
    "heads.a.weight",
    "heads.a.bias",
    "scale",
]


def test_parameters_are_found_in_order_also_in_lists_and_dicts():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert len(list(net.modules())) == 7
    assert len(list(net.children())) == 4


def test_a_shared_parameter_comes_once():
    net = Net()
    net.again = net.first
    assert [name for name, _ in net.named_parameters()] == NAMES


def test_calling_is_forward_also_of_a_subclass_that_overrides_it():
    class Doubled(Net):
        def forward(self, x):
            return super().forward(x) * 2.0

    net = Doubled()
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(net(x).data, Net.forward(net, x).data * 2)
    with pytest.raises(NotImplementedError, match="expected a forward"):
        nn.Module()(x)


def test_state_goes_out_and_back_in():
    one, two = Net(), Net()
    x = np.ones((2, 4), np.float32)
    assert not np.array_equal(one(x).data, two(x).data)
    two.load_state_dict(one.state_dict())
    assert np.array_equal(one(x).data, two(x).data)
    assert two.first.weight.data is not one.first.weight.data


def test_state_may_be_of_the_other_float_type_but_not_of_integers():
    net = Net()
    net.load_state_dict({name: array.astype(np.float64) for name, array in net.state_dict().items()})
    assert net.scale.dtype == np.float32
    with pytest.raises(DTypeError, match=r"expected float32 or float64, found .*scale int64"):
        net.load_state_dict({**net.state_dict(), "scale": np.ones(1, np.int64)})


def test_a_wrong_state_is_named_and_changes_nothing():
    net = Net()
    before = {name: array.copy() for name, array in net.state_dict().items()}
    wrong = {name: array + 1 for name, array in before.items()}
    del wrong["scale"]
    wrong["other"] = np.ones(1, np.float32)
    with pytest.raises(FormatError, match="missing: scale; unexpected: other"):
        net.load_state_dict(wrong)
    wrong = {name: array + 1 for name, array in before.items()}
    wrong["heads.a.bias"] = np.ones((2, 2), np.float32)
    with pytest.raises(ShapeError, match=r"expected heads\.a\.bias \(1,\), found \(2, 2\)"):
        net.load_state_dict(wrong)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_train_and_eval_reach_everything_inside():
    net = Net()
    assert all(not m.training for m in net.eval().modules())
    assert all(m.training for m in net.train().modules())


def test_zero_grad_reaches_every_parameter():
    net = Net()
    net(np.ones((2, 4), np.float32)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_modules_can_be_copied():
    net = Net()
    twin = copy.deepcopy(net)
    twin.first.weight.data[...] = 0
    assert net.first.weight.data.any()
    assert [name for name, _ in twin.named_parameters()] == NAMES


def test_repr_shows_the_layers():
    convolution = nn.Conv2d(1, 6, 5, padding=2, activation="relu")
    text = repr(nn.Sequential(convolution, nn.MaxPool2d(2), nn.Linear(4, 2, bias=False)))
    assert text == (
        "Sequential(\n"
        "  (0): Conv2d(1, 6, kernel_size=(5, 5), padding=2, activation='relu')\n"
        "  (1): MaxPool2d(kernel_size=2, stride=2)\n"
        "  (2): Linear(4, 2, bias=False)\n"
        ")"
    )


def test_sequential_is_a_sequence():
    layers = nn.Linear(4, 3), nn.Tanh()
    model = nn.Sequential(*layers)
    assert len(model) == 2
    assert tuple(model) == layers
    assert model[1] is layers[1]


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.ReLU(), nn.functional.relu),
        (nn.ReLU6(), nn.functional.relu6),
        (nn.SELU(), nn.functional.selu),
        (nn.SiLU(), nn.functional.silu),
        (nn.Mish(), nn.functional.mish),
        (nn.Sigmoid(), nn.functional.sigmoid),
        (nn.Tanh(), nn.functional.tanh),
        (nn.HardSigmoid(), nn.functional.hard_sigmoid),
        (nn.HardSwish(), nn.functional.hard_swish),
        (nn.HardTanh(), nn.functional.hard_tanh),
        (nn.GELU("tanh"), lambda x: nn.functional.gelu(x, "tanh")),
        (nn.ELU(0.5), lambda x: nn.functional.elu(x, 0.5)),
        (nn.LeakyReLU(0.2), lambda x: nn.functional.leaky_relu(x, 0.2)),
        (nn.PReLU(), lambda x: nn.functional.leaky_relu(x, 0.25)),
        (nn.Softplus(2.0), lambda x: nn.functional.softplus(x, 2.0)),
        (nn.Softmax(), nn.functional.softmax),
        (nn.LogSoftmax(0), lambda x: nn.functional.log_softmax(x, 0)),
        (nn.Flatten(), lambda x: nn.functional.flatten(x, 1)),
        (nn.MaxPool2d(2), lambda x: nn.functional.max_pool2d(x, 2)),
        (nn.AvgPool2d(2, 1), lambda x: nn.functional.avg_pool2d(x, 2, 1)),
        (nn.GlobalAvgPool2d(), nn.functional.global_avg_pool2d),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_are_their_functions(layer, function):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(layer(x).data, function(x).data)


def test_losses_are_their_functions():
    logits, labels = np.eye(3, dtype=np.float32), np.array([0, 2, 1])
    assert nn.CrossEntropyLoss()(logits, labels).item() == nn.functional.cross_entropy(logits, labels).item()
    assert nn.MSELoss("sum")(logits, logits[::-1].copy()).item() == 4.0


def test_layers_start_as_pytorchs_do():
    generator = np.random.default_rng(0)
    for layer, fan_in in (
        (nn.Linear(100, 2000, generator=generator), 100),
        (nn.Conv2d(8, 200, 5, groups=4, generator=generator), 50),
    ):
        bound = 1 / np.sqrt(fan_in)
        for p in (layer.weight, layer.bias):
            assert np.abs(p.data).max() <= np.float32(bound)
            assert p.data.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)


def test_the_same_generator_gives_the_same_layer():
    one, two = (nn.Linear(5, 5, generator=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.weight.data, two.weight.data)
    assert not np.array_equal(nn.Linear(5, 5).weight.data, nn.Linear(5, 5).weight.data)


def test_layers_in_float64():
    layer = nn.Linear(3, 2, dtype=np.float64)
    assert layer(np.ones((1, 3))).dtype == np.float64


def test_conv2d_refuses_groups_that_do_not_divide():
    with pytest.raises(ShapeError, match="divisible by groups"):
        nn.Conv2d(3, 4, 3, groups=2)


def test_training_through_the_public_idiom():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(2, 16, activation="tanh", generator=rng), nn.Linear(16, 2, generator=rng))
    opt = od.optim.Adam(model.parameters(), lr=0.05)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([0, 1, 1, 0])
    for _ in range(100):
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
    with od.no_grad():
        assert model.eval()(x).data.argmax(1).tolist() == y.tolist()


def test_buffers_are_state_but_no_parameters():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert [name for name, _ in net.named_buffers()] == ["1.running_mean", "1.running_var"]
    assert len(list(net.buffers())) == 2
    x = np.random.default_rng(0).normal(size=(4, 1, 6, 6)).astype(np.float32)
    net(x)
    other = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
    other.load_state_dict(net.state_dict())
    assert np.array_equal(other.eval()(x).data, net.eval()(x).data)
    before = net.state_dict()["1.running_mean"].copy()
    assert before.any()
    net(x)
    assert np.array_equal(before, net.state_dict()["1.running_mean"])
    net.train()(x)
    assert not np.array_equal(before, net.state_dict()["1.running_mean"])
    with pytest.raises(FormatError, match=r"missing: 1\.running_var"):
        other.load_state_dict({k: v for k, v in net.state_dict().items() if k != "1.running_var"})


def test_batch_norm_layers_ask_for_their_channels():
    nn.BatchNorm1d(3)(np.ones((2, 3), np.float32))
    nn.BatchNorm1d(3)(np.ones((2, 3, 5), np.float32))
    with pytest.raises(ShapeError, match=r"BatchNorm2d: expected \(N, 3, H, W\), found \(2, 4, 5, 5\)"):
        nn.BatchNorm2d(3)(np.ones((2, 4, 5, 5), np.float32))
    with pytest.raises(ShapeError, match="InstanceNorm2d"):
        nn.InstanceNorm2d(3)(np.ones((2, 3, 5), np.float32))
    with pytest.raises(ShapeError, match="divisible by groups"):
        nn.GroupNorm(3, 4)
    untracked = nn.BatchNorm2d(1, track_running_stats=False, affine=False).eval()
    assert not untracked.state_dict()
    assert abs(float(untracked(np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)).data.mean())) < 1e-6


def test_norm_layers_are_their_functions():
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 5)).astype(np.float32)
    for layer, expected in (
        (nn.LayerNorm(5), od.layer_norm(x)),
        (nn.LayerNorm(5, elementwise_affine=False), od.layer_norm(x)),
        (nn.RMSNorm(5), od.rms_norm(x)),
        (nn.GroupNorm(2, 4), od.group_norm(x, 2)),
        (nn.InstanceNorm2d(4), od.instance_norm(x)),
        (nn.InstanceNorm2d(4, affine=True), od.instance_norm(x)),
    ):
        assert np.array_equal(layer(x).data, expected), layer
        assert type(layer).__name__ in repr(layer)
    assert [name for name, _ in nn.LayerNorm(5, bias=False).named_parameters()] == ["weight"]


def test_embedding_layer_keeps_its_padding_at_zero():
    layer = nn.Embedding(6, 3, padding_idx=2, generator=np.random.default_rng(0))
    index = np.array([1, 2, 1])
    y = layer(index)
    assert not y.data[1].any()
    y.sum().backward()
    assert layer.weight.grad[:, 0].tolist() == [0, 2, 0, 0, 0, 0]


def test_dropout_draws_anew_in_training_and_rests_in_evaluation():
    x = np.ones(1000, np.float32)
    layer = nn.Dropout(0.25, generator=np.random.default_rng(0))
    first, second = layer(x).data, layer(x).data
    assert set(first.tolist()) == {0.0, np.float32(1 / 0.75).item()}
    assert not np.array_equal(first, second)
    again = nn.Dropout(0.25, generator=np.random.default_rng(0))
    assert np.array_equal(again(x).data, first)
    assert layer.eval()(x).data is x
    with pytest.raises(ValueError, match="p in"):
        nn.Dropout(1.5)


def test_named_modules_come_outermost_first_and_once():
    net = Net()
    net.again = net.first
    assert [name for name, _ in net.named_modules()] == [
        "", "first", "blocks.0", "blocks.1", "blocks.1.0", "blocks.1.1", "heads.a",
    ]  # fmt: skip
    assert dict(net.named_modules("net"))["net.blocks.1"] is net.blocks[1]


def test_apply_reaches_everything_inside_first():
    net, seen = Net(), []
    assert net.apply(seen.append) is net
    assert seen[-1] is net
    assert set(map(id, seen)) == set(map(id, net.modules()))


def test_to_converts_parameters_and_buffers_and_training_goes_on():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    parameters = list(net.parameters())
    x = np.ones((5, 3), np.float32)
    net(x).sum().backward()
    net.zero_grad()  # the arrays kept for the next gradients are float32
    assert net.to(np.float64) is net
    assert {array.dtype for array in net.state_dict().values()} == {np.dtype(np.float64)}
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    y = net(np.random.default_rng(0).normal(size=(5, 3)))
    y.sum().backward()
    assert {y.dtype, *(p.grad.dtype for p in parameters)} == {np.dtype(np.float64)}
    assert not any(b.requires_grad for b in net.buffers())
    with pytest.raises(DTypeError, match="expected float32 or float64, found int32"):
        net.to(np.int32)


def test_a_module_list_is_a_list_of_members():
    layers = nn.ModuleList([nn.Linear(2, 2), nn.Tanh()])
    layers.insert(0, nn.ReLU())
    layers.append(nn.Linear(2, 1))
    assert [type(layer).__name__ for layer in layers] == ["ReLU", "Linear", "Tanh", "Linear"]
    assert [name for name, _ in layers.named_parameters()] == ["1.weight", "1.bias", "3.weight", "3.bias"]
    layers[1] = nn.Identity()
    del layers[2]
    assert len(layers) == 3
    assert isinstance(layers[1], nn.Identity)
    assert [name for name, _ in layers.named_parameters()] == ["2.weight", "2.bias"]
    for act in (layers.append, lambda layer: layers.__setitem__(0, layer)):
        with pytest.raises(TypeError, match="expected Modules, found int"):
            act(3)


def test_residual_adds_its_layers_to_what_they_were_given():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 5)).astype(np.float32)
    body, shortcut = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(4, 8, 1)
    np.testing.assert_array_equal(nn.Residual(body, shortcut=shortcut)(x).data, shortcut(x).data + body(x).data)
    np.testing.assert_array_equal(nn.Residual(nn.ReLU(), nn.Tanh())(x).data, x + od.tanh(od.relu(x)))
    names = [name for name, _ in nn.Residual(body, shortcut=shortcut).named_parameters()]
    assert names == ["body.0.weight", "body.0.bias", "shortcut.weight", "shortcut.bias"]


def test_a_separable_convolution_is_one_full_convolution():
    """Of the kernels' products: pointwise weight times depthwise kernel."""
    layer = nn.SeparableConv2d(3, 5, (3, 2), stride=2, padding=1, depth_multiplier=2, activation="relu", dtype=np.float64)
    depthwise, pointwise = layer.depthwise.weight.data, layer.pointwise.weight.data
    weight = (pointwise.reshape(5, 3, 2, 1, 1) * depthwise.reshape(1, 3, 2, 3, 2)).sum(2)
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 6))
    expected = od.conv2d(x, weight, layer.pointwise.bias.data, 2, 1, activation="relu")
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-12, atol=1e-14)
    with pytest.raises(ValueError, match="depth_multiplier"):
        nn.SeparableConv2d(3, 5, 3, depth_multiplier=0)


def test_dropout2d_drops_whole_channels():
    x = np.ones((30, 20, 3, 3), np.float32)
    layer = nn.Dropout2d(0.25, generator=np.random.default_rng(0))
    first, second = layer(x).data, layer(x).data
    assert (first == first[:, :, :1, :1]).all()
    assert set(first.ravel().tolist()) == {0.0, np.float32(1 / 0.75).item()}
    assert (first == 0).mean() == pytest.approx(0.25, abs=0.05)
    assert not np.array_equal(first, second)
    assert layer.eval()(x).data is x
    t = od.Tensor(x, requires_grad=True)
    assert layer.eval()(t) is t
    layer.train()
    layer(t).sum().backward()
    assert (t.grad == t.grad[:, :, :1, :1]).all()
    with pytest.raises(ValueError, match="Dropout2d: expected p in"):
        nn.Dropout2d(-0.5)
    with pytest.raises(ShapeError, match=r"dropout2d: expected \(N, C, ...\), found \(3,\)"):
        layer(np.ones(3, np.float32))


def test_dropout_goes_on_where_its_state_was_taken():
    x = np.ones(100, np.float32)
    one, two = nn.Dropout(0.5), nn.Dropout(0.5)
    one(x)
    two.load_extra_state(one.extra_state())
    assert np.array_equal(one(x).data, two(x).data)
    assert nn.ReLU().extra_state() == {}
    nn.ReLU().load_extra_state({})


def test_identity_is_what_it_is_given():
    x = np.ones(3, np.float32)
    t = od.Tensor(x)
    assert nn.Identity()(t) is t
    assert nn.Identity()(x).data is x


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv2d(4, 6, (3, 2), groups=2, bias=False), "Conv2d(4, 6, kernel_size=(3, 2), groups=2, bias=False)"),
        (
            nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2, bias=False),
            "ConvTranspose2d(4, 6, kernel_size=(3, 3), stride=2, output_padding=1, groups=2, bias=False)",
        ),
        (nn.Dropout2d(0.25), "Dropout2d(0.25)"),
        (nn.Embedding(7, 3, padding_idx=1), "Embedding(7, 3, padding_idx=1)"),
        (nn.BatchNorm1d(3, affine=False), "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=False)"),
        (nn.MSELoss(), "MSELoss(reduction='mean')"),
        (nn.KLDivLoss("batchmean", log_target=True), "KLDivLoss(reduction='batchmean', log_target=True)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_show_their_settings(layer, text):
    assert repr(layer) == text


def test_transposed_convolutions_refuse_groups_that_do_not_divide():
    with pytest.raises(ShapeError, match="ConvTranspose2d: expected in_channels and out_channels divisible by groups"):
        nn.ConvTranspose2d(4, 3, 3, groups=2)

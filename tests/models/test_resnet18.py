import numpy as np
import pytest

import odyssey as od
from odyssey.errors import FormatError, ShapeError
from odyssey.models.resnet18 import BasicBlock

F = od.nn.functional


def images(n=2, size=32, seed=0, channels=3):
    return np.random.default_rng(seed).standard_normal((n, channels, size, size), np.float32)


@pytest.fixture(scope="module")
def model():
    """A model whose norms have seen something, so that each of their four arrays matters."""
    rng = np.random.default_rng(1)
    model = od.models.ResNet18(generator=rng)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if ".bn" in name or name.startswith("bn") or ".downsample.1" in name:
            low = 0.5 if name.endswith(("weight", "running_var")) else -0.2
            tensor.data[...] = rng.uniform(low, low + 0.7, tensor.shape)
    return model.eval()


def test_it_has_the_parameters_of_the_paper(model):
    shapes = {name: p.shape for name, p in model.named_parameters()}
    assert shapes["conv1.weight"] == (64, 3, 3, 3)
    assert shapes["layer1.1.conv2.weight"] == (64, 64, 3, 3)
    assert shapes["layer3.0.downsample.0.weight"] == (256, 128, 1, 1)
    assert shapes["layer4.1.bn2.bias"] == (512,)
    assert "layer1.0.downsample.0.weight" not in shapes
    assert sum(p.size for p in model.parameters()) == 11_173_962
    assert sum(p.size for p in od.models.ResNet18(1000, stem="imagenet").parameters()) == 11_689_512


def test_weights_start_as_he_et_al_derive():
    model = od.models.ResNet18(generator=np.random.default_rng(0))
    weight = model.layer4[0].conv1.weight.data
    assert weight.std() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert (model.layer4[0].bn1.weight.data == 1).all()
    again = od.models.ResNet18(generator=np.random.default_rng(0))
    assert all((a.data == b.data).all() for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(("stem", "size"), [("cifar", 32), ("cifar", 24), ("imagenet", 64)])
def test_both_stems_take_images_of_any_size(stem, size):
    model = od.models.ResNet18(7, 1, stem).eval()
    with od.no_grad():
        assert model(images(1, size, channels=1)).shape == (1, 7)
    assert od.models.ResNet18(**model.config()).config() == model.config()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="expected stem 'cifar' or 'imagenet', found 'none'"):
        od.models.ResNet18(stem="none")
    with pytest.raises(ShapeError, match=r"expected images \(N, 3, H, W\), found \(2, 1, 32, 32\)"):
        od.models.ResNet18()(images(channels=1))


def test_the_gradients_of_a_block_are_right():
    """Against central differences in float64, in a random direction, through norms in training and the shortcut."""
    rng = np.random.default_rng(0)
    block = BasicBlock(3, 5, 2, generator=rng)
    for tensor in (*block.parameters(), *block.buffers()):
        tensor.data = tensor.data.astype(np.float64)
    x, cotangent = od.Tensor(rng.normal(size=(3, 3, 6, 6)), requires_grad=True), rng.normal(size=(3, 5, 3, 3))
    F.multiply(block(x), cotangent).sum().backward()
    tensors = [x, *block.parameters()]
    directions = [rng.normal(size=t.shape) for t in tensors]
    slope = sum(float((t.grad * d).sum()) for t, d in zip(tensors, directions, strict=True))
    sums = []
    for step in (1e-6, -2e-6):
        for t, d in zip(tensors, directions, strict=True):
            t.data += step * d
        with od.no_grad():
            sums.append(F.multiply(block(x), cotangent).sum().item())
    assert (sums[0] - sums[1]) / 2e-6 == pytest.approx(slope, rel=1e-6)


def test_an_image_alone_has_the_bits_it_has_in_a_batch(model):
    x = images(3)
    for each in (model, od.nn.fold_batch_norm(model)):
        with od.no_grad():
            np.testing.assert_array_equal(each(x).data[1], each(x[1:2]).data[0])


def test_folded_norms_are_the_same_function(model):
    folded = od.nn.fold_batch_norm(model)
    assert not any("bn" in name or "running" in name for name in folded.state_dict())
    assert not folded.training
    x = images()
    with od.no_grad():
        wanted = model(x).data
        np.testing.assert_allclose(folded(x).data, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert model.bn1 is not None
    assert model.conv1.bias is None


@pytest.mark.parametrize("names", ["torchvision", "transformers"])
def test_a_file_by_others_names_comes_back_to_the_same_bits(tmp_path, names):
    model = od.models.ResNet18(5, stem="imagenet", generator=np.random.default_rng(0))
    od.models.save_resnet18(model, tmp_path / "model", names)
    back = od.models.load_resnet18(tmp_path / "model")
    assert back.config() == model.config()
    ours, theirs = model.state_dict(), back.state_dict()
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_the_names_are_those_of_the_libraries():
    model = od.models.ResNet18(stem="imagenet")
    vision = od.models.resnet18_state(model)
    assert {"conv1.weight", "bn1.num_batches_tracked", "layer4.0.downsample.1.running_var", "fc.bias"} <= vision.keys()
    hub = od.models.resnet18_state(model, "transformers")
    assert len(hub) == len(vision) == 122
    assert {
        "resnet.embedder.embedder.convolution.weight",
        "resnet.embedder.embedder.normalization.num_batches_tracked",
        "resnet.encoder.stages.3.layers.0.shortcut.normalization.running_var",
        "resnet.encoder.stages.0.layers.1.layer.1.convolution.weight",
        "classifier.1.bias",
    } <= hub.keys()


def test_states_of_other_models_are_refused():
    with pytest.raises(FormatError, match="expected the state of a ResNet-18"):
        od.models.resnet18_from(od.models.LeNet5().state_dict())
    state = od.models.resnet18_state(od.models.ResNet18())
    with pytest.raises(FormatError, match="expected the state of a ResNet-18"):
        od.models.resnet18_from({**state, "conv1.weight": np.zeros((64, 3, 5, 5), np.float32)})
    with pytest.raises(FormatError, match=r"unexpected: layer1\.2\.conv1\.weight"):
        od.models.resnet18_from({**state, "layer1.2.conv1.weight": np.zeros((64, 64, 3, 3), np.float32)})
    with pytest.raises(ValueError, match="expected names 'torchvision' or 'transformers'"):
        od.models.resnet18_state(od.models.ResNet18(), "timm")
    with pytest.raises(ValueError, match="expected stem 'imagenet', the only one that transformers has"):
        od.models.resnet18_state(od.models.ResNet18(), "transformers")

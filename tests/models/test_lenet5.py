import numpy as np
import pytest

import odyssey as od
from odyssey.errors import ShapeError

# Layer by layer: 6 * 25 + 6, 16 * 150 + 16, 120 * 400 + 120, 84 * 120 + 84, 10 * 84 + 10.
PARAMETERS = 61_706


def test_it_has_the_shapes_of_the_paper():
    model = od.models.LeNet5()
    assert sum(p.size for p in model.parameters()) == PARAMETERS
    assert {name: p.shape for name, p in model.named_parameters()} == {
        "conv1.weight": (6, 1, 5, 5),
        "conv1.bias": (6,),
        "conv2.weight": (16, 6, 5, 5),
        "conv2.bias": (16,),
        "fc1.weight": (120, 400),
        "fc1.bias": (120,),
        "fc2.weight": (84, 120),
        "fc2.bias": (84,),
        "fc3.weight": (10, 84),
        "fc3.bias": (10,),
    }


@pytest.mark.parametrize("size", [28, 32])
@pytest.mark.parametrize("classes", [10, 47])
def test_it_takes_both_sizes(size, classes):
    model = od.models.LeNet5(classes, image_size=size)
    assert model(np.zeros((3, 1, size, size), np.float32)).shape == (3, classes)
    assert od.models.LeNet5(**model.config()).config() == model.config()


def test_a_28_image_is_a_32_image_with_a_border():
    generator = np.random.default_rng(0)
    small, large = od.models.LeNet5(image_size=28), od.models.LeNet5(image_size=32)
    large.load_state_dict(small.state_dict())
    x = generator.normal(size=(2, 1, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(small(x).data, large(np.pad(x, [(0, 0), (0, 0), (2, 2), (2, 2)])).data)


def test_other_images_are_refused():
    with pytest.raises(ShapeError, match="expected image_size 28 or 32, found 64"):
        od.models.LeNet5(image_size=64)
    with pytest.raises(ShapeError, match=r"expected images \(N, 1, 32, 32\), found \(2, 1, 28, 28\)"):
        od.models.LeNet5()(np.zeros((2, 1, 28, 28), np.float32))


def test_its_gradients_are_right_through_the_whole_network():
    """Against central differences in float64, in a random direction."""
    rng = np.random.default_rng(0)
    model = od.models.LeNet5(generator=rng)
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    x, y = rng.normal(size=(2, 1, 32, 32)), np.array([3, 7])
    F = od.nn.functional
    F.cross_entropy(model(x), y).backward()
    directions = [rng.normal(size=p.shape) for p in model.parameters()]
    slope = sum(float((p.grad * d).sum()) for p, d in zip(model.parameters(), directions, strict=True))
    losses = []
    for step in (1e-7, -2e-7):
        for p, d in zip(model.parameters(), directions, strict=True):
            p.data += step * d
        with od.no_grad():
            losses.append(F.cross_entropy(model(x), y).item())
    assert (losses[0] - losses[1]) / 2e-7 == pytest.approx(slope, rel=1e-6)


def test_rows_of_a_batch_equal_images_alone():
    rng = np.random.default_rng(0)
    model = od.models.LeNet5(generator=rng)
    x = rng.normal(size=(5, 1, 32, 32)).astype(np.float32)
    with od.no_grad():
        batch = model(x).data
        for i in range(5):
            np.testing.assert_array_equal(batch[i], model(x[i : i + 1]).data[0])

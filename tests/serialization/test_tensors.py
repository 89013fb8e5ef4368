import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import odyssey as od
from odyssey.errors import FormatError
from odyssey.serialization import load_metadata

pytest.importorskip("safetensors")


def test_a_model_comes_back_to_the_same_bits(tmp_path):
    one, two = od.models.LeNet5(), od.models.LeNet5()
    od.save(one, tmp_path / "model.safetensors")
    two.load_state_dict(od.load(tmp_path / "model.safetensors"))
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_arrays_tensors_and_views_are_saved_as_they_look(tmp_path):
    path = tmp_path / "file"
    array = np.arange(12, dtype=np.float64).reshape(3, 4)
    state = {"view": array.T, "strided": array[::2], "scalar": np.float32(3), "tensor": od.Tensor([1.0])}
    state |= {"ints": np.array([1, 2]), "empty": np.zeros((0, 3), np.float32), "none": np.array(5.0)}
    od.save(state, path, {"note": "ü"})
    arrays, metadata = load_metadata(path)
    assert metadata == {"note": "ü"}
    assert set(arrays) == set(state)
    for name, value in state.items():
        expected = np.asarray(value)
        np.testing.assert_array_equal(arrays[name], expected)
        assert (arrays[name].dtype, arrays[name].shape) == (expected.dtype, expected.shape)


def test_a_missing_file_is_the_usual_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        od.load(tmp_path / "nothing")


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 50, -1])
def test_a_truncated_file_is_named(tmp_path, cut):
    path = tmp_path / "file"
    od.save({"a": np.ones(100, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError, match=f"{path}: expected a complete safetensors file"):
        od.load(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 200), value=st.integers(0, 255))
def test_no_damaged_byte_does_worse_than_an_error(tmp_path, position, value):
    path = tmp_path / "file"
    od.save({"a": np.ones(8, np.float32), "b": np.arange(6).reshape(2, 3)}, path)
    data = bytearray(path.read_bytes())
    data[position % len(data)] = value
    path.write_bytes(data)
    try:
        od.load(path)
    except FormatError as error:
        assert "expected" in str(error)  # noqa: PT017

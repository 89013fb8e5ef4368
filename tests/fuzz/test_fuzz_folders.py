"""Folders of models: whatever was done to their files, reading them is an error that says so, or a model.

Each finding is kept as a file in `findings/folders`, which is put in the place of the file it is named for.
"""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import note
from hypothesis import strategies as st
from test_fuzz_formats import damaged, over
from tiny_bert import tiny_model

import odyssey as od
from odyssey.errors import FormatError
from odyssey.models.pretrained.folder import CONFIG, INDEX, WEIGHTS, Folder

pytest.importorskip("ml_dtypes")

FINDINGS = Path(__file__).parent / "findings" / "folders"
SHARD = "model-00002-of-00003.safetensors"
# What a reader of JSON may meet in the place of anything else.
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 10**400, "F32", "BF16", "bert", "../x", WEIGHTS, SHARD, CONFIG]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "model"
    od.models.save_pretrained(tiny_model(layers=1), path)
    return path


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    path = tmp_path_factory.mktemp("sharded") / "model"
    od.models.save_pretrained(tiny_model(layers=1), path, max_shard_size=4500)
    assert (path / SHARD).exists()
    return path


def edited(draw, value):
    """The value with one thing in it replaced, removed or added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(value)))
        how = draw(st.integers(0, 4))
        if how == 0:
            return {key: one for key, one in value.items() if key != name}
        if how == 1:
            return {**value, draw(st.text(max_size=5)): draw(junk)}
        return {**value, name: edited(draw, value[name])}
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], edited(draw, value[at]), *value[at + 1 :]]
    return draw(junk)


def refused_or_read(folder, name, data):
    """Read the folder with these bytes in the place of a file, which is put back."""
    path = folder / name
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        with suppress(FormatError, FileNotFoundError):
            for array in Folder(folder).tensors.values():
                repr(np.array(array))  # each element of it can be looked at
            od.models.from_pretrained(folder).state_dict()
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("name", [CONFIG, INDEX, SHARD])
def test_a_damaged_file_does_no_worse_than_an_error(sharded, name, rounds):
    def body(data):
        raw = damaged(data.draw, (sharded / name).read_bytes())
        note(f"{name}: bytes.fromhex({raw.hex()!r})")
        refused_or_read(sharded, name, raw)

    over(rounds, lambda data: body(data), st.data())


def test_a_header_that_says_anything_does_no_worse_than_an_error(whole, rounds):
    def body(data):
        raw = (whole / WEIGHTS).read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header = json.dumps(edited(data.draw, json.loads(raw[8 : 8 + length]))).encode()
        raw = len(header).to_bytes(8, "little") + header + raw[8 + length :]
        note(f"{WEIGHTS}: bytes.fromhex({raw.hex()!r})")
        refused_or_read(whole, WEIGHTS, raw)

    over(rounds, lambda data: body(data), st.data())


@pytest.mark.parametrize("name", [CONFIG, INDEX])
def test_settings_and_indexes_that_say_anything_do_no_worse_than_an_error(sharded, name, rounds):
    def body(data):
        text = json.dumps(edited(data.draw, json.loads((sharded / name).read_text())))
        note(f"{name}: {text!r}")
        refused_or_read(sharded, name, text.encode())

    over(rounds, lambda data: body(data), st.data())


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("*")), ids=lambda path: path.name)
def test_what_was_found_in_folders_stays_mended(whole, sharded, path):
    name = path.name.partition("--")[2]
    refused_or_read(sharded if name in (INDEX, SHARD) else whole, name, path.read_bytes())

"""from_pretrained and save_pretrained: what is picked, what is refused, where names on the hub lead."""

import doctest
import json
import sys
import types

import numpy as np
import pytest
from tiny_bert import tiny_folder, tiny_model, tokenizer

import odyssey as od
from odyssey.errors import FormatError
from odyssey.models.pretrained import folder as folders
from odyssey.models.pretrained import hub, settings
from odyssey.models.pretrained.folder import CONFIG, INDEX, WEIGHTS, Folder, write_folder
from odyssey.models.pretrained.settings import Settings
from odyssey.models.pretrained.weights import Loading, fill, gather
from odyssey.nn import init
from odyssey.nn.stored import StoredWeight
from odyssey.serialization.safetensors import Pending

pytest.importorskip("ml_dtypes")
pytest.importorskip("tokenizers")

IDS = np.array([[2, 4, 6, 8, 3], [2, 5, 7, 9, 3]])


@pytest.fixture
def folder(tmp_path):
    return tiny_folder(tmp_path / "model")


def change(folder, **settings):
    config = json.loads((folder / CONFIG).read_text())
    for name, value in settings.items():
        if value is None:
            config.pop(name)
        else:
            config[name] = value
    (folder / CONFIG).write_text(json.dumps(config))


def rewritten(folder, edit, path):
    """The folder's weights, changed, in a folder of their own."""
    read = Folder(folder)
    tensors = dict(read.tensors)
    edit(tensors)
    write_folder(path, read.config, {name: Pending.of(array) for name, array in tensors.items()})
    return path


def test_a_model_comes_back_to_the_same_bits_in_evaluation_mode(folder):
    model = od.models.from_pretrained(folder)
    assert not model.training
    for (name, one), (other, two) in zip(tiny_model().named_parameters(), model.named_parameters(), strict=True):
        assert name == other
        np.testing.assert_array_equal(one.data, two.data)
        assert not two.data.flags.owndata  # the file's memory


def test_a_loaded_model_trains_and_its_file_stays(folder):
    before = (folder / WEIGHTS).read_bytes()
    model = od.models.from_pretrained(folder)
    optimizer = od.optim.SGD(model.parameters(), lr=0.1)
    (model.train()(IDS) ** 2).sum().backward()
    optimizer.step()
    assert not np.array_equal(model.blocks[0].up.weight.data, tiny_model().blocks[0].up.weight.data)
    assert (folder / WEIGHTS).read_bytes() == before


@pytest.mark.parametrize(("dtype", "close"), [("bfloat16", 0.1), ("float16", 0.02), ("int8", 0.1)])
def test_narrow_weights_are_stored_and_saved_again(folder, tmp_path, dtype, close):
    model = od.models.from_pretrained(folder, dtype=dtype)
    held = model.blocks[0].up.weight
    assert isinstance(held, StoredWeight)
    assert held.dtype == dtype
    np.testing.assert_allclose(model(IDS).numpy(), tiny_model()(IDS).numpy(), atol=close)
    od.models.save_pretrained(model, tmp_path / "again")
    again = od.models.from_pretrained(tmp_path / "again", dtype=None if dtype != "int8" else "float32")
    # A product of int8 meets the scale behind its sums, one of the numbers they stand for within.
    np.testing.assert_allclose(again(IDS).numpy(), model(IDS).numpy(), atol=1e-5 if dtype == "int8" else 0)
    kind = json.loads((tmp_path / "again" / CONFIG).read_text())["dtype"]
    assert kind == (dtype if dtype != "int8" else "float32")


def test_a_file_of_narrow_weights_is_used_as_it_lies(folder, tmp_path):
    od.models.save_pretrained(od.models.from_pretrained(folder), tmp_path / "half", dtype="bfloat16")
    model = od.models.from_pretrained(tmp_path / "half")
    matrix = model.blocks[1].down.weight.matrix()
    assert matrix.dtype.name == "bfloat16"
    assert not matrix.flags.owndata
    wide = od.models.from_pretrained(tmp_path / "half", dtype="float32")
    np.testing.assert_array_equal(wide(IDS).numpy(), model(IDS).numpy())
    assert wide.blocks[0].up.weight.requires_grad


def test_the_tables_of_int8_stay_as_they_are(folder):
    model = od.models.from_pretrained(folder, dtype="int8")
    np.testing.assert_array_equal(model.token_embedding.weight.data, tiny_model().token_embedding.weight.data)


def test_prefetching_changes_nothing(folder):
    ahead = od.models.from_pretrained(folder, prefetch=True)
    np.testing.assert_array_equal(ahead(IDS).numpy(), tiny_model()(IDS).numpy())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dtype": "int4"}, "dtype: expected None or one of 'float32'"),
        ({"precision": "fast"}, "precision: expected 'exact' or 'native'"),
        ({"precision": "native", "dtype": "float16"}, "'bfloat16' or 'int8', found 'float16'"),
        ({"precision": "native"}, "the file has other weights; give dtype='bfloat16' too"),
    ],
)
def test_a_dtype_or_precision_that_is_none_is_refused(folder, options, says):
    with pytest.raises(ValueError, match=says):
        od.models.from_pretrained(folder, **options)


@pytest.mark.parametrize("kind", ["gpt5", None, 7, "x" * 1000])
def test_an_unknown_architecture_lists_the_known_ones(folder, kind):
    change(folder, model_type=kind)
    with pytest.raises(FormatError, match=r"model_type to be one of bert") as error:
        od.models.from_pretrained(folder)
    assert str(folder / CONFIG) in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hidden_size": None}, '"hidden_size", an integer of at least 1, found none; add it'),
        ({"hidden_size": "16"}, "found '16'"), ({"hidden_size": 0}, "found 0"), ({"hidden_size": True}, "found True"), ({"hidden_size": 10**40}, "a huge number"),
        ({"num_attention_heads": 3}, "a divisor of hidden_size=16"), ({"layer_norm_eps": "x"}, "a number as"), ({"layer_norm_eps": float("nan")}, "a number as"),
        ({"hidden_act": "sparkle"}, "found 'sparkle'"), ({"is_decoder": True}, "false, for an encoder"), ({"is_decoder": 1}, "true or false"),
        ({"pad_token_id": 99}, "a token below vocab_size=16"),
        ({"position_embedding_type": "relative_key"}, "found 'relative_key'"),
        ({"num_hidden_layers": 3}, "missing: encoder.layer.2.attention.self.query.weight"), ({"num_hidden_layers": 1}, "unexpected: encoder.layer.1"),
        ({"intermediate_size": 25}, "of another shape: expected encoder.layer.0.intermediate.dense.weight (25, 16), found (24, 16)"),
    ],
)  # fmt: skip
def test_a_setting_that_is_missing_or_wrong_is_named_with_its_file(folder, settings, says):
    change(folder, **settings)
    with pytest.raises(FormatError) as error:
        od.models.from_pretrained(folder)
    assert says in str(error.value)
    assert str(folder) in str(error.value)


def test_all_that_is_wrong_with_the_tensors_is_said_at_once(folder, tmp_path):
    def edit(tensors):
        del tensors["embeddings.LayerNorm.bias"]
        tensors["embeddings.LayerNorm.weight"] = np.ones(3, np.float32)
        tensors["pooler.dense.bias"] = np.ones(16, np.int64)
        tensors |= {f"more.{i:02}": np.ones(1, np.float32) for i in range(30)}

    with pytest.raises(FormatError) as error:
        od.models.from_pretrained(rewritten(folder, edit, tmp_path / "wrong"))
    for says in (
        "missing: embeddings.LayerNorm.bias", "unexpected: more.00, ", "and 10 more", "embeddings.LayerNorm.weight (16,), found (3,)",
        "not of float32, float64, float16, bfloat16: pooler.dense.bias int64", "are config.json and the weights of one model?",
    ):  # fmt: skip
        assert says in str(error.value)


def test_names_with_and_without_the_prefix_and_old_names_of_norms_are_read(folder, tmp_path):
    def older(tensors):
        for name in list(tensors):
            new = f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            )
            tensors[new] = tensors.pop(name)
        tensors["bert.embeddings.position_ids"] = np.arange(12)
        tensors["cls.predictions.bias"] = np.zeros(16, np.float32)

    model = od.models.from_pretrained(rewritten(folder, older, tmp_path / "older"))
    np.testing.assert_array_equal(model(IDS).numpy(), tiny_model()(IDS).numpy())


def test_a_model_without_pooler_or_of_float64_is_read(folder, tmp_path):
    def edit(tensors):
        del tensors["pooler.dense.weight"], tensors["pooler.dense.bias"]
        tensors |= {name: array.astype(np.float64) for name, array in tensors.items()}

    model = od.models.from_pretrained(rewritten(folder, edit, tmp_path / "bare"))
    assert model.pooler is None
    np.testing.assert_array_equal(model(IDS).numpy(), tiny_model()(IDS).numpy())
    assert model(IDS).dtype == np.float32


# ---- experts, which are several tensors of a file ------------------------------------------------------------------


class Experts(od.nn.Module):
    def __init__(self):
        draw = np.random.default_rng(0)
        self.table = od.nn.Embedding(6, 4, generator=draw)
        self.head = od.nn.Linear(4, 6, bias=False, generator=draw)
        self.head.weight = self.table.weight  # tied
        self.router = od.nn.Linear(4, 3, bias=False, generator=draw)
        self.up = od.nn.Parameter(init.uniform_(np.empty((3, 5, 4), np.float32), -1, 1, generator=draw))


EXPERTS = {"head.weight": "tied", "router.weight": "router", "up": [f"up.{i}" for i in range(3)]}


def experts(tmp_path):
    model = Experts()
    write_folder(tmp_path / "experts", {}, gather(model, EXPERTS))
    with init.placeholders():
        empty = Experts()
    return model, Folder(tmp_path / "experts"), empty


@pytest.mark.parametrize("dtype", [None, "bfloat16", "int8"])
def test_experts_are_one_weight_of_several_tensors_and_tied_weights_stay_tied(tmp_path, dtype):
    model, folder, empty = experts(tmp_path)
    fill(empty, folder, EXPERTS, Loading(dtype), whole=["router.weight"])
    assert empty.head.weight is empty.table.weight
    held = [one.widened() if isinstance(one, StoredWeight) else one.data for one in (empty.up, empty.head.weight)]
    for found, one in zip(held, (model.up, model.head.weight), strict=True):
        np.testing.assert_allclose(found, one.data, atol=0 if dtype is None else 0.02)
    if dtype == "int8":
        assert (empty.head.weight.dtype, len(empty.up.matrices())) == ("int8", 3)
        np.testing.assert_array_equal(empty.router.weight.data, model.router.weight.data)
    again = gather(empty, EXPERTS)
    assert sorted(again) == ["router", "tied", "up.0", "up.1", "up.2"]
    np.testing.assert_array_equal(np.asarray(again["up.1"].make(), np.float32), held[0][1])


def test_experts_stacked_in_the_file_are_packed_one_by_one(tmp_path):
    names = {"head.weight": "tied", "router.weight": "router", "up": "up"}
    model = Experts()
    write_folder(tmp_path / "stacked", {}, gather(model, names))
    for dtype in ("int8", "float16"):
        with init.placeholders():
            empty = Experts()
        fill(empty, Folder(tmp_path / "stacked"), names, Loading(dtype))
        assert len(empty.up.matrices()) == 3
        np.testing.assert_allclose(empty.up.widened(), model.up.data, atol=0.02)


# ---- saving --------------------------------------------------------------------------------------------------------


def test_what_belongs_to_the_model_goes_along(tmp_path):
    folder = tiny_folder(tmp_path / "one", pooling="cls_token", normalize=False, longest=8)
    od.models.save_pretrained(od.models.from_pretrained(folder), tmp_path / "two", max_shard_size="4KB")
    for name in ("tokenizer.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"):
        assert (tmp_path / "two" / name).read_bytes() == (folder / name).read_bytes()
    assert (tmp_path / "two" / INDEX).exists()
    assert od.models.from_pretrained(tmp_path / "two").config == od.models.from_pretrained(folder).config


def test_a_tokenizer_is_given_as_one_as_a_file_or_as_a_folder(tmp_path):
    folder = tiny_folder(tmp_path / "one")
    for i, given in enumerate((tokenizer(), folder, folder / "tokenizer.json")):
        od.models.save_pretrained(tiny_model(), tmp_path / f"{i}", tokenizer=given)
        text = json.loads((tmp_path / f"{i}" / "tokenizer.json").read_text())
        assert text == json.loads((folder / "tokenizer.json").read_text())
    (tmp_path / "bare").mkdir()
    for missing in (tmp_path / "nothing", tmp_path / "bare"):
        with pytest.raises(FileNotFoundError, match=r"expected a tokenizer\.json, found none"):
            od.models.save_pretrained(tiny_model(), tmp_path / "x", tokenizer=missing)
    assert not (tmp_path / "x").exists()


def test_a_model_without_such_folders_or_a_dtype_that_is_none_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"expected a model of one of bert.*, found LeNet5; odyssey\.save writes"):
        od.models.save_pretrained(od.models.LeNet5(), tmp_path / "x")
    with pytest.raises(ValueError, match="dtype: expected None, 'float32', 'bfloat16' or 'float16', found 'int8'"):
        od.models.save_pretrained(tiny_model(), tmp_path / "x", dtype="int8")


# ---- the hub -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # whoever asks for it fails
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home" / "hub"


def cached_model(cache, commit="0123abc", **options):
    model = cache / "models--org--name"
    tiny_folder(model / "snapshots" / commit, **options)
    (model / "refs").mkdir(exist_ok=True)
    (model / "refs" / "main").write_text(commit)
    return model


def test_a_cached_model_is_read_without_library_or_network(cache, monkeypatch):
    model = cached_model(cache)
    assert od.models.from_pretrained("org/name").config.features == 16
    assert od.models.from_pretrained("org/name", revision="0123abc").config.features == 16
    for name, value in (("HF_HUB_CACHE", cache), ("XDG_CACHE_HOME", cache.parent.parent)):
        monkeypatch.delenv("HF_HOME", raising=False)
        monkeypatch.setenv(name, str(value))
        if name == "XDG_CACHE_HOME":
            cache.parent.rename(cache.parent.parent / "huggingface")
            monkeypatch.delenv("HF_HUB_CACHE")
        assert od.models.from_pretrained("org/name").config.features == 16
    assert model.name == "models--org--name"


def test_a_folder_of_that_name_goes_before_the_hub(cache, tmp_path):
    tiny_folder(tmp_path / "org" / "name", layers=1)
    cached_model(cache)
    assert od.models.from_pretrained("org/name").config.layers == 1


@pytest.mark.parametrize(
    ("setting", "says"),
    [({}, "pip install huggingface_hub"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids to fetch it")],
)
def test_a_name_that_leads_nowhere_says_where_it_was_sought(cache, monkeypatch, setting, says):
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FileNotFoundError, match=says) as error:
        od.models.from_pretrained("org/name")
    assert str(cache) in str(error.value)


def test_a_model_that_was_fetched_in_part_is_not_taken_for_whole(cache):
    model = cached_model(cache)
    snapshot = model / "snapshots" / "0123abc"
    (snapshot / WEIGHTS).rename(snapshot / "model-00001-of-00002.safetensors")
    (snapshot / INDEX).write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "gone.safetensors"}}')
    assert hub.cached("org/name") is None
    (model / "refs" / "main").write_text("../../..")
    assert hub.cached("org/name") is None


def test_the_library_fetches_what_is_not_there_and_its_error_is_told(cache, tmp_path, monkeypatch):
    asked = []

    def snapshot_download(name, revision, cache_dir, allow_patterns):
        asked.append((name, revision, cache_dir))
        if revision == "gone":
            raise RuntimeError("404 Client Error\nmore")
        return tiny_folder(tmp_path / "fetched")

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=snapshot_download))
    assert od.models.from_pretrained("org/name").config.features == 16
    with pytest.raises(FileNotFoundError, match=r"could not be fetched \(404 Client Error\); check"):
        od.models.from_pretrained("org/name", revision="gone")
    assert asked == [("org/name", None, cache), ("org/name", "gone", cache)]


@pytest.mark.parametrize("name", ["name", "a/b/c", "/abs", "./x", "org/", "../x", "org/na me"])
def test_what_is_no_name_is_a_folder_that_is_missing(cache, name):
    assert not hub.is_name(name)
    with pytest.raises(FileNotFoundError, match="expected a model's folder"):
        od.models.from_pretrained(name)


def test_settings_tell_what_they_found():
    inner = Settings({"a": {"b": "x"}, "c": 1}, "config.json")
    assert inner.object("none").values == {}
    assert inner.text("missing", None) is inner.integer("missing", None) is inner.flag("missing", None) is None
    with pytest.raises(FormatError, match=r"an integer of at least 1 as \"a\.b\", found 'x'"):
        inner.object("a").integer("b")
    with pytest.raises(FormatError, match='an object as "c", found 1'):
        inner.object("c")
    with pytest.raises(FormatError, match=r"\.\.\.$"):
        Settings({"a": "x" * 500}, "config.json").text("a", of=("b",))


def test_models_and_data_are_named_before_they_are_loaded():
    for package in (od.models, od.data):
        assert set(package.__all__) <= set(dir(package))
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            package.nothing  # noqa: B018
    assert od.data.ArrayDataset.__module__ == "odyssey.data.dataset"


def test_the_examples_run():
    for module in (folders, settings, init):
        assert doctest.testmod(module).failed == 0
    for function in (od.models.from_pretrained, od.models.Bert):
        doctest.run_docstring_examples(function, {}, optionflags=doctest.FAIL_FAST)


@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16", "float16", "int8"])
def test_weights_laid_out_for_products_have_the_bits_of_those_that_are_mapped(dtype, tmp_path, isa):
    model = od.models.MoETransformer.tiny(layers=1, generator=np.random.default_rng(0))
    od.models.save_pretrained(model, tmp_path / "model")
    ids = np.arange(20)[np.newaxis]
    mapped = od.models.from_pretrained(tmp_path / "model", dtype=dtype)
    packed = od.models.from_pretrained(tmp_path / "model", dtype=dtype, packed=True)
    assert isinstance(packed.layers[0].attention.q_proj.weight.value, od.PackedWeight)
    assert all(isinstance(one, od.PackedWeight) for one in packed.layers[0].mlp.gate.value)
    assert packed(ids).data.tobytes() == mapped(ids).data.tobytes()


def test_what_is_let_go_of_is_read_again_from_its_file_and_other_memory_is_left_alone(tmp_path):
    from odyssey.models.pretrained.prefetch import let_go

    model = od.models.MoETransformer.tiny(layers=1, generator=np.random.default_rng(0))
    od.models.save_pretrained(model, tmp_path / "model")
    for array in Folder(tmp_path / "model").tensors.values():
        before = array.tobytes()
        let_go(array)
        assert array.tobytes() == before
    own = np.arange(100_000.0)
    let_go(own)
    assert own[-1] == 99_999


def test_native_products_need_weights_that_they_multiply(tmp_path):
    model = od.models.MoETransformer.tiny(layers=1)
    od.models.save_pretrained(model, tmp_path / "model")
    with pytest.raises(ValueError, match="bfloat16 or int8"):
        od.models.from_pretrained(tmp_path / "model", precision="native", packed=True)

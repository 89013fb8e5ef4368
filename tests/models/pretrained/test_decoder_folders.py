"""Decoders in folders: each family comes back to the same bits, and what a family cannot say or a file lacks is listed."""

import dataclasses
import doctest
import json

import ml_dtypes
import numpy as np
import pytest

import odyssey as od
from odyssey.errors import FormatError
from odyssey.models import Decoder, DecoderConfig, MoETransformer, RopeScaling
from odyssey.models.pretrained import decoders, llama, mixtral, olmoe, qwen3_moe, random_weights
from odyssey.models.pretrained.random_weights import write_random
from odyssey.models.pretrained.settings import Settings
from odyssey.nn.stored import StoredWeight, named_stored_weights

FAMILIES = llama.FAMILIES | mixtral.FAMILIES | olmoe.FAMILIES | qwen3_moe.FAMILIES
BASE = DecoderConfig(
    vocab_size=30,
    hidden_size=16,
    layers=3,
    heads=4,
    kv_heads=2,
    mlp_size=20,
    context=32,
    init_std=0.2,
    stop_tokens=(3,),
)
EXPERTS = {"experts": 3, "top_k": 2, "expert_size": 12}
YARN = RopeScaling("yarn", 4.0, 8, attention_factor=1.5, truncate=False)
CONFIGS = {
    "llama": [
        BASE,
        BASE.with_(attention_bias="all", tied=True, head_size=6, rope_scaling=RopeScaling("llama3", 2.0, 8)),
    ],
    "mistral": [BASE, BASE.with_(sliding_window=3), BASE.with_(sliding_window=3, full_attention_layers=(1,))],
    "qwen2": [
        BASE.with_(attention_bias="qkv"),
        BASE.with_(attention_bias="qkv", sliding_window=2, full_attention_layers=(2,)),
    ],
    "qwen3": [BASE.with_(qk_norm="head", rope_scaling=YARN), BASE.with_(qk_norm="head", sliding_window=5)],
    "mixtral": [
        BASE.with_(**EXPERTS),
        BASE.with_(**EXPERTS, sliding_window=3, rope_scaling=RopeScaling("ntk", 3.0), stop_tokens=(1, 2)),
    ],
    "olmoe": [
        BASE.with_(**EXPERTS, qk_norm="full", renormalize=False, clip_qkv=0.5, rope_scaling=RopeScaling("linear", 2.0))
    ],
    "qwen3_moe": [
        BASE.with_(**EXPERTS, qk_norm="head", sparse_step=2, dense_layers=(0,), sliding_window=3, attention_bias="all")
    ],
    "odyssey_decoder": [BASE.with_(residual="mhc", streams=2, **EXPERTS, rope_scaling=YARN, dense_layers=(2,))],
}
IDS = np.random.default_rng(1).integers(0, 30, (2, 9))


def saved(config, kind, path, **options):
    model = Decoder(config, generator=np.random.default_rng(2)).eval()
    model.model_type = kind
    od.models.save_pretrained(model, path, **options)
    return model


@pytest.mark.parametrize(
    ("kind", "config"), [(kind, config) for kind, configs in CONFIGS.items() for config in configs]
)
def test_a_family_comes_back_to_the_same_bits(kind, config, tmp_path):
    model = saved(config, kind, tmp_path)
    again = od.models.from_pretrained(tmp_path)
    assert again.model_type == kind
    assert np.array_equal(again(IDS).data, model(IDS).data)
    assert again.config.stop_tokens == config.stop_tokens
    for dtype in ("bfloat16", "float16", "int8"):
        narrow = od.models.from_pretrained(tmp_path, dtype=dtype)
        matrices = dict(named_stored_weights(narrow))
        assert {one.dtype for name, one in matrices.items() if not name.endswith((".router", "embedding.weight"))} == {
            dtype
        }
        assert np.corrcoef(narrow(IDS).data.ravel(), model(IDS).data.ravel())[0, 1] > 0.97
        if dtype != "int8":
            od.models.save_pretrained(narrow, tmp_path / dtype)
            third = od.models.from_pretrained(tmp_path / dtype)
            assert np.array_equal(third(IDS).data, narrow(IDS).data)


def test_our_own_models_of_experts_come_back(tmp_path):
    model = MoETransformer.tiny(residual="mhc", vocab_size=30, generator=np.random.default_rng(0)).eval()
    od.models.save_pretrained(model, tmp_path)
    again = od.models.from_pretrained(tmp_path)
    assert isinstance(again, MoETransformer)
    assert again.config == model.config
    assert np.array_equal(again(IDS).data, model(IDS).data)
    narrow = od.models.from_pretrained(tmp_path, dtype="int8")
    assert isinstance(narrow.layers[0].mlp.gate, StoredWeight)
    assert narrow.layers[0].attention_residual.fn.requires_grad  # hyper-connections take arrays alone
    assert np.corrcoef(narrow(IDS).data.ravel(), model(IDS).data.ravel())[0, 1] > 0.99


def test_narrow_experts_are_views_of_the_file(tmp_path):
    saved(CONFIGS["mixtral"][0], "mixtral", tmp_path, dtype="bfloat16")
    model = od.models.from_pretrained(tmp_path)
    for one in model.layers[0].mlp.gate.matrices():
        assert one.dtype == ml_dtypes.bfloat16
        assert not one.flags.owndata
        assert not one.flags.writeable


def rewritten(path, **tensors):
    """The file of weights with others in it; None takes one out."""
    from safetensors.numpy import load_file, save_file

    file = path / "model.safetensors"
    held = load_file(file) | tensors
    save_file({name: np.ascontiguousarray(array) for name, array in held.items() if array is not None}, file)


@pytest.mark.parametrize("kind", ["mixtral", "olmoe"])
def test_experts_of_one_tensor_are_told_apart(kind, tmp_path):
    model = saved(CONFIGS[kind][0], kind, tmp_path)
    tensors = {}
    within, words = ("block_sparse_moe", "w1 w3 w2") if kind == "mixtral" else ("mlp", "gate_proj up_proj down_proj")
    for i in range(3):
        mlp, theirs = model.layers[i].mlp, f"model.layers.{i}.{within}"
        tensors |= {f"{theirs}.experts.{e}.{word}.weight": None for e in range(3) for word in words.split()}
        tensors[f"{theirs}.gate.weight"] = None
        tensors[f"model.layers.{i}.mlp.gate.weight"] = mlp.router.data
        tensors[f"model.layers.{i}.mlp.experts.gate_up_proj"] = np.concatenate([mlp.gate.data, mlp.up.data], 1)
        tensors[f"model.layers.{i}.mlp.experts.down_proj"] = mlp.down.data
    rewritten(tmp_path, **tensors)
    assert np.array_equal(od.models.from_pretrained(tmp_path)(IDS).data, model(IDS).data)


def test_what_older_versions_wrote_beside_the_weights_is_passed_over(tmp_path):
    model = saved(CONFIGS["llama"][1], "llama", tmp_path)
    angles = np.zeros(3, np.float32)
    rewritten(
        tmp_path, **{"lm_head.weight": model.head.weight.data, "model.layers.0.self_attn.rotary_emb.inv_freq": angles}
    )
    assert np.array_equal(od.models.from_pretrained(tmp_path)(IDS).data, model(IDS).data)


def test_all_tensors_that_are_wrong_are_listed(tmp_path):
    saved(CONFIGS["mixtral"][0], "mixtral", tmp_path)
    wrong = {
        "model.norm.weight": None,
        "model.layers.1.block_sparse_moe.experts.2.w2.weight": None,
        "model.layers.3.input_layernorm.weight": np.ones(16, np.float32),
        "lm_head.weight": np.ones((16, 30), np.float32),
    }
    rewritten(tmp_path, **wrong)
    with pytest.raises(FormatError) as caught:
        od.models.from_pretrained(tmp_path)
    assert all(name in str(caught.value) for name in wrong)
    assert "(30, 16), found (16, 30)" in str(caught.value)


@pytest.mark.parametrize("kind", FAMILIES)
def test_all_settings_that_are_missing_are_listed(kind, tmp_path):
    saved(CONFIGS[kind][0], kind, tmp_path)
    file = tmp_path / "config.json"
    settings = json.loads(file.read_text())
    needed = FAMILIES[kind].needed
    file.write_text(json.dumps({name: value for name, value in settings.items() if name not in needed}))
    with pytest.raises(FormatError, match=r"config\.json: expected the settings of a") as caught:
        od.models.from_pretrained(tmp_path)
    assert all(name in str(caught.value) for name in needed)


SMALL = {
    "vocab_size": 30, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
}  # fmt: skip


def read(kind, **changes):
    return decoders.checked_config(Settings({**SMALL, **changes}, "config.json"), FAMILIES[kind])


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("llama", {"hidden_act": "gelu"}, "'silu' or 'swish' as \"hidden_act\", found 'gelu'"),
        ("llama", {"mlp_bias": True}, "biases of feed-forward layers"),
        ("llama", {"num_key_value_heads": 3}, "heads=4, kv_heads=3"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantised elsewhere"),
        ("llama", {"eos_token_id": "2"}, "a token's number or a list"),
        ("llama", {"partial_rotary_factor": 0.5}, "turned in part"),
        (
            "llama",
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "default, linear, llama3, yarn: others are not known",
        ),
        ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "rope_scaling.low_freq_factor"),
        ("llama", {"rope_parameters": {"rope_type": "linear"}}, "rope_parameters.factor"),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 0.1}}, "factor of at least 1"),
        ("mistral", {"layer_types": ["full_attention"]}, "a list of 2, each 'full_attention' or 'sliding_attention'"),
        ("qwen3_moe", {"mlp_only_layers": [-1]}, "a list of whole numbers"),
        ("qwen3_moe", {"mlp_only_layers": [5]}, "expected layers' numbers"),
        ("mixtral", {"num_experts_per_tok": 5}, "1 <= top_k <= experts"),
    ],
)
def test_a_setting_that_is_not_known_here_is_named(kind, changes, says):
    with pytest.raises(FormatError, match=says):
        read(kind, **changes)


def test_settings_mean_what_transformers_takes_them_for():
    assert read("mixtral").rope_base == 1e6
    assert read("mixtral", rope_theta=5e5).rope_base == 5e5
    assert read("mixtral", rope_parameters={"rope_type": "default", "rope_theta": 7.0}, rope_theta=5e5).rope_base == 7.0
    assert read("mixtral", num_experts=None, num_local_experts=3).experts == 3
    assert read("llama", num_key_value_heads=None).kv_heads == 4
    assert read("llama", eos_token_id=[2, 29, 30]).stop_tokens == (2, 29)
    assert read("mistral").sliding_window == 4096
    assert read("mistral", sliding_window=None).sliding_window is None
    assert read("qwen2", use_sliding_window=True, max_window_layers=1, sliding_window=8).full_attention_layers == (0,)
    assert read("qwen3_moe", sliding_window=8).sliding_window is None
    assert read("qwen3").head_size == 128
    yarn = {"rope_type": "yarn", "original_max_position_embeddings": 64}
    found = read("llama", rope_scaling=yarn, max_position_embeddings=256).rope_scaling
    assert (found.factor, found.original_context, found.turns()) == (4.0, 64, (1.0, 32.0))
    assert read("llama", rope_scaling=yarn, original_max_position_embeddings=32).rope_scaling.original_context == 32


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("mixtral", {}, "with num_local_experts, as mixtral ones have"),
        ("mixtral", {**EXPERTS, "qk_norm": "head"}, "qk_norm='head'"),
        ("llama", {**EXPERTS, "residual": "mhc"}, r"streams=4.*sparse layers=\(True, True, True\).*another family"),
        ("olmoe", {**EXPERTS, "head_size": 8}, "head_size=8"),
        ("qwen2", {"attention_bias": "all"}, "attention_bias='all'"),
    ],
)
def test_what_a_family_has_no_words_for_is_not_written(kind, changes, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        saved(BASE.with_(**changes), kind, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hidden_size": None, "layers": None}, "found none for hidden_size, layers; add them"),
        ({"heads": 7, "kv_heads": 2}, "heads=7, kv_heads=2"),
        ({"rope_scaling": {"kind": "linear"}}, "factor"),
        ({"heads": "4"}, "heads='4'"),
    ],
)
def test_our_own_settings_are_checked(changes, says, tmp_path):
    saved(BASE, "odyssey_decoder", tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(FormatError, match=says):
        od.models.from_pretrained(tmp_path)


def test_our_own_settings_are_all_of_them(tmp_path):
    saved(CONFIGS["odyssey_decoder"][0], "odyssey_decoder", tmp_path)
    found = od.models.from_pretrained(tmp_path).config
    assert dataclasses.asdict(found) == dataclasses.asdict(CONFIGS["odyssey_decoder"][0])


@pytest.mark.parametrize("kind", ["odyssey_decoder", "mixtral"])
def test_random_weights_are_written_without_a_model(kind, tmp_path):
    config = CONFIGS["mixtral"][0]
    write_random(config, tmp_path / "a", model_type=kind, max_shard_size="2KB")
    write_random(config, tmp_path / "b", model_type=kind, dtype="float32", seed=0)
    first, second = (
        od.models.from_pretrained(tmp_path / "a"),
        od.models.from_pretrained(tmp_path / "b", dtype="bfloat16"),
    )
    assert len(list((tmp_path / "a").glob("*.safetensors"))) > 3
    assert np.array_equal(first(IDS).data, second(IDS).data)  # the same numbers, whatever they are written as
    wide = od.models.from_pretrained(tmp_path / "b")
    assert wide.layers[0].attention_norm.weight.data.tolist() == [1.0] * 16
    assert 0.15 < wide.embedding.weight.data.std() < 0.25
    assert not np.array_equal(wide.embedding.weight.data, wide.head.weight.data)


def test_random_weights_of_no_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'bfloat16', 'float16' or 'float32', found 'int8'"):
        write_random(BASE, tmp_path / "a", dtype="int8")
    with pytest.raises(ValueError, match="found 'gpt'"):
        write_random(BASE, tmp_path / "a", model_type="gpt")


def test_the_example_of_random_weights_runs():
    result = doctest.testmod(random_weights)
    assert result.attempted
    assert not result.failed

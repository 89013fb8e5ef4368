"""Text as data: documents that do not share text, a tokenizer that is the same every time, windows, and counting."""

import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from odyssey.data import DataLoader
from odyssey.data.text import (
    IGNORED,
    NGram,
    TokenNoise,
    TokenWindows,
    WindowSampler,
    load_texts,
    load_topics,
    split_documents,
)
from odyssey.errors import FormatError, ShapeError

# ---- corpus ----------------------------------------------------------------------------------------------------------


def test_no_paragraph_of_the_held_out_topics_is_among_the_others():
    corpus = load_topics()

    def paragraphs(texts):
        parts = (" ".join(part.split()) for text in texts for part in text.split("\n\n"))
        return Counter(part for part in parts if len(part) >= 40)

    train, test = paragraphs(corpus.train), paragraphs(corpus.test)
    assert not train.keys() & test.keys()
    assert max((train | test).values()) == 1, "a paragraph stands twice"
    assert len(test) > 100


def test_topics_that_quote_each_other_are_one_document():
    quoted = "A paragraph of some length that two of the topics have in common."
    topics = {
        "a": "Alpha.\n\n" + quoted,
        "b": quoted.replace(" that ", "\n   that ") + "\n\nBeta.",
        "c": "Gamma.\n\nGamma too.",
    }
    corpus = load_topics(0.1, 0, topics)
    documents = sorted((*corpus.train, *corpus.test))
    assert documents == ["Alpha.\n\n" + quoted + "\n\nBeta.\n", "Gamma.\n\nGamma too.\n"]
    assert (corpus.train, corpus.test) == ((documents[0],), (documents[1],))  # the shorter one, whatever is drawn


def test_another_seed_holds_out_other_documents_and_the_same_one_the_same():
    documents = tuple(chr(97 + i) * (5 + i) for i in range(20))
    assert split_documents(documents, 0.2, seed=1) == split_documents(documents, 0.2, seed=1)
    assert split_documents(documents, 0.2, seed=1) != split_documents(documents, 0.2, seed=2)
    train, test = split_documents(documents, 0.2, seed=1)
    assert sorted(train + test) == sorted(documents)
    assert sum(map(len, test)) >= 0.2 * sum(map(len, documents))


def test_texts_of_a_folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "b.txt").write_text("bb")
    (tmp_path / "inner/a.txt").write_text("aaaaaaaa")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "other.md").write_text("no")
    corpus = load_texts(tmp_path)
    assert (corpus.train, corpus.test) == (("aaaaaaaa",), ("bb",))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match="none there"):
        load_texts(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_texts(tmp_path / "nowhere")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match=r"c\.txt: expected text in UTF-8"):
        load_texts(tmp_path)


def test_one_document_makes_no_two_parts():
    with pytest.raises(FormatError, match="expected documents for two parts, found 1"):
        split_documents(("alone",), 0.1, seed=0)
    with pytest.raises(FormatError, match="found 0"):
        split_documents((), 0.1, seed=0)


def test_a_python_without_topics_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(FormatError, match=r"expected Python's pydoc_data\.topics"):
        load_topics()


# ---- tokenizer -------------------------------------------------------------------------------------------------------

TRAIN = """
import zlib
from odyssey.data.text import load_topics, tokenize
data = tokenize(load_topics(), 400)
print(zlib.crc32(data.tokenizer.to_str().encode()), data.fingerprint())
"""


def test_the_tokenizer_is_the_same_in_every_process():
    pytest.importorskip("tokenizers")
    runs = [
        subprocess.run(
            [sys.executable, "-c", TRAIN],
            env={"PYTHONHASHSEED": seed, "TOKENIZERS_PARALLELISM": parallel, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed, parallel in (("1", "true"), ("2", "false"))
    ]  # fmt: skip
    assert runs[0] == runs[1]


def test_what_is_encoded_is_decoded():
    pytest.importorskip("tokenizers")
    from odyssey.data.text import encode_documents, train_bpe

    tokenizer = train_bpe(["some text, some more text"] * 3, 262)
    text = "any text: ünïcode, \x00 and  spaces\n"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    tokens = encode_documents(tokenizer, [text, "b"])
    assert tokens.dtype == np.int64
    assert (tokens == 0).sum() == 2
    assert tokens[-1] == 0
    with pytest.raises(FormatError, match="expected text for 1000 tokens"):
        train_bpe(["too little"], 1000)
    with pytest.raises(ValueError, match="above 257, found 257"):
        train_bpe(["x"], 257)


def test_without_tokenizers_the_remedy_is_named(monkeypatch):
    from odyssey.data.text import train_bpe

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match="pip install"):
        train_bpe(["x"], 300)


# ---- windows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "length", "stride"), [(50, 8, 4), (51, 8, 8), (9, 8, 4), (37, 8, 3), (17, 8, 8)])
def test_windows_with_a_stride_label_every_token_but_the_first_once(count, length, stride):
    tokens = np.arange(count)
    windows = TokenWindows(tokens, length, stride)
    seen = Counter()
    for inputs, labels in DataLoader(windows, 3):
        assert inputs.shape[1] == labels.shape[1] == length
        taken = labels != IGNORED
        np.testing.assert_array_equal(labels[taken], inputs[taken] + 1)
        seen.update(labels[taken].tolist())
    assert seen == dict.fromkeys(range(1, count), 1)
    first, labels = windows[0]
    np.testing.assert_array_equal(first + 1, labels)


def test_an_epoch_has_windows_side_by_side_that_begin_elsewhere_each_time():
    windows = TokenWindows(np.arange(103), 10)
    sampler = WindowSampler(len(windows), 10)
    orders = [sampler.order(seed=3, epoch=epoch) for epoch in range(20)]
    for order in orders:
        assert len(order) == len(sampler) == 9
        assert set(np.diff(np.sort(order))) == {10}
        assert order.min() >= 0
        assert order.max() < len(windows)
    assert len({int(order.min()) for order in orders}) > 4
    np.testing.assert_array_equal(sampler.order(3, 5), orders[5])


def test_too_few_tokens_have_no_window():
    with pytest.raises(ShapeError, match="expected more than 8 tokens"):
        TokenWindows(np.arange(8), 8)
    assert len(TokenWindows(np.arange(9), 8)) == 1
    assert WindowSampler(1, 8).order(0, 0).tolist() == [0]


def test_noise_replaces_what_is_read_by_tokens_of_the_text_and_leaves_the_labels():
    ids, labels = np.zeros((40, 50), np.int64), np.ones((40, 50), np.int64)
    noisy, same = TokenNoise(np.array([5, 6]), 0.25)((ids, labels), np.random.default_rng(0))
    assert same is labels
    assert set(np.unique(noisy)) == {0, 5, 6}
    assert 0.2 < (noisy != 0).mean() < 0.3
    with pytest.raises(ValueError, match=r"rate in \[0, 1\]"):
        TokenNoise(ids, 1.5)


# ---- counting --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def language():
    """A sequence in which what comes next depends on the two tokens before, and the same again to be tested on."""
    rng = np.random.default_rng(0)
    likely = rng.integers(0, 12, (12, 12))
    tokens = [0, 1]
    for _ in range(6000):
        other = rng.random() < 0.3
        tokens.append(int(rng.integers(12)) if other else int(likely[tokens[-2], tokens[-1]]))
    return np.array(tokens[:3000]), np.array(tokens[3000:])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_sum_to_one_after_any_context(language, order):
    model = NGram(language[0], 14, order)  # two tokens never occur
    for context in ((), (3,), (3, 5), (13,), (3, 13), (1, 2, 3, 4)):
        probabilities = [model.probability(context, token) for token in range(14)]
        assert math.isclose(sum(probabilities), 1, rel_tol=1e-12)
        assert min(probabilities) > 0


def test_a_longer_context_helps_where_there_is_something_to_know(language):
    losses = [NGram(language[0], 12, order).loss(language[1]) for order in (1, 2, 3)]
    assert losses[0] > losses[1] > losses[2] + 0.3
    # 0.7 on one token, 0.3 / 12 on each: nothing can be better than that
    least = -(0.725 * math.log(0.725) + 11 * 0.025 * math.log(0.025))
    assert least < losses[2] < least + 0.4


def test_it_is_kneser_ney_by_hand():
    """Bigrams of a b a b a c: discounts fall back to 0.5, too little being known."""
    model = NGram(np.array([0, 1, 0, 1, 0, 2]), 3, order=2)
    # in how many contexts: a after b; b after a; c after a
    unigram = dict.fromkeys(range(3), (1 - 0.5) / 3 + 0.5 * (1 / 3))
    # after a: b twice, c once
    assert model.probability((0,), 1) == pytest.approx((2 - 0.5) / 3 + 2 * 0.5 / 3 * unigram[1])
    assert model.probability((0,), 2) == pytest.approx((1 - 0.5) / 3 + 2 * 0.5 / 3 * unigram[2])
    assert model.probability((2,), 0) == pytest.approx(unigram[0])
    assert model.loss(np.array([0, 1])) == pytest.approx(-math.log(model.probability((0,), 1)))


def test_the_parts_are_listed_before_they_are_loaded_and_others_are_not_there():
    from odyssey.data import text

    assert set(text.__all__) <= set(dir(text))
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = text.no_such_thing

"""The recipe of the mixture of experts on a little text: what it puts together, and that a run goes on to the same
bits."""

import json

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")
pytest.importorskip("rich")
pytest.importorskip("matplotlib")
from click.testing import CliRunner

import odyssey as od
from odyssey.cli.main import cli
from odyssey.data.text import TextData
from odyssey.errors import FormatError
from odyssey.training import Callback, moe, recipe
from odyssey.training.moe import MoERecipe, Preset
from odyssey.training.run import RunFolder
from odyssey.training.samples import Samples
from odyssey.training.tasks import NextToken

RHYMES = "one for the {} and two for the {}\nthree for the {} who lives down the lane\n"
WORDS = ("master", "dame", "boy", "cat", "dog", "fiddle", "moon", "cow", "spoon", "dish")


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """A folder of rhymes, and a model that is small enough for them."""
    monkeypatch.setitem(moe.PRESETS, "tiny", Preset(vocabulary=280, context=16, epochs=2, batch_size=8, lr=1e-2))
    folder = tmp_path / "texts"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        lines = "".join(RHYMES.format(*rng.choice(WORDS, 3)) for _ in range(3))
        (folder / f"{i}.txt").write_text(lines)
    return folder


class StopAfter(Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, trainer):
        if trainer.step == self.step:
            trainer.stop()


def digest(trainer):
    arrays = {**trainer.model.state_dict(), **trainer.optimizer.state_dict()}
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


def odyssey(*args):
    return CliRunner().invoke(cli, ["train", "moe", *map(str, args)])


def test_a_run_stopped_after_any_step_resumes_to_the_same_bits_with_other_threads(tmp_path, texts):
    settings = MoERecipe(data=str(texts))
    with od.threads.limit(1):
        whole, _, _ = recipe.start(settings, RunFolder(tmp_path / "whole"))
        whole.fit(2)
    steps = whole.steps_per_epoch
    assert steps >= 3
    for stop in (1, steps - 1, steps, steps + 1):
        folder = tmp_path / f"run{stop}"
        first, _, _ = recipe.start(settings, RunFolder(folder))
        first.callbacks.insert(0, StopAfter(stop))
        first.fit(2)
        assert first.step == stop
        with od.threads.limit(2):
            second, _, again = recipe.resume(MoERecipe, RunFolder(folder), {})
            assert second.step == stop
            second.fit(again.epochs)
        assert digest(second) == digest(whole), f"stopped after step {stop}"
        for name in ("train_loss", "test_loss", "test_perplexity", "expert_load"):
            assert [m[name] for m in second.history] == [m[name] for m in whole.history]
        assert (folder / "samples.jsonl").read_text() == (tmp_path / "whole/samples.jsonl").read_text()


@pytest.mark.parametrize("residual", ["add", "mhc"])
def test_the_command_leaves_a_folder_that_opens_and_says_what_to_beat(tmp_path, texts, residual):
    out = tmp_path / "run"
    result = odyssey("--data", texts, "--residual", residual, "--out", out, "--threads", 1)
    assert result.exit_code == 0, result.output
    assert "a 3-gram model has loss" in result.output
    assert "tokens/s" in result.output
    assert "images" not in result.output
    config = json.loads((out / "config.json").read_text())
    assert config["model"]["arguments"]["residual"] == residual
    assert config["data"]["trigram_loss"] > 0
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [len(layer) for layer in metrics[-1]["expert_load"]] == [4, 4]
    assert all(abs(sum(layer) - 1) < 1e-12 for layer in metrics[-1]["expert_load"])
    assert metrics[-1]["test_perplexity"] == pytest.approx(np.exp(metrics[-1]["test_loss"]))
    curve = (out / "curve.svg").read_text()
    assert all(text in curve for text in ("3-gram", "layer 1", "part of the choices"))
    model = od.models.from_pretrained(out / "model")
    tokens = np.array([[0, 5, 7]])
    assert model(tokens).shape == (1, 3, 280)
    assert (out / "model/tokenizer.json").is_file()
    assert not (out / "model.safetensors").exists()
    assert sum(layer.load_balancing_loss().item() for layer in model.sparse_layers()) >= 1.9
    # A run that is done is summed up once more, and nothing is trained.
    again = odyssey("--resume", out)
    assert again.exit_code == 0, again.output
    assert result.output.splitlines()[-1].split() == again.output.splitlines()[-1].split()


def test_a_run_goes_on_with_its_own_settings_and_text_alone(tmp_path, texts):
    out = tmp_path / "run"
    assert odyssey("--data", texts, "--epochs", 1, "--out", out).exit_code == 0
    with pytest.raises(FormatError, match="expected residual add, with which the run began, found mhc"):
        recipe.resume(MoERecipe, RunFolder(out), {"residual": "mhc"})
    (texts / "0.txt").write_text("something else" * 20)
    with pytest.raises(FormatError, match="expected the text the run began with"):
        recipe.resume(MoERecipe, RunFolder(out), {})


def test_only_matrices_decay_and_the_balance_is_in_the_gradient_and_not_in_the_loss(texts):
    settings = MoERecipe(data=str(texts)).settled()
    data = settings.load_data()
    trainer = settings.trainer(data)
    decayed, free = trainer.optimizer.param_groups
    assert decayed["weight_decay"] == 0.5
    assert free["weight_decay"] == 0.0
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert all(p.ndim == 1 for p in free["params"])
    assert decayed["betas"] == (0.9, 0.95)
    inputs, targets = next(iter(trainer.loader))
    loss = trainer.loss(trainer.model(inputs), targets)
    penalty = trainer.penalty(trainer.model)
    assert penalty.item() == pytest.approx(0.01 * 2, rel=0.2)  # two layers, nearly even at first
    penalty.backward()
    router = trainer.model.layers[0].mlp.router
    assert np.abs(router.grad).max() > 0
    trainer.model.zero_grad()
    trainer.fit(1)
    assert trainer.history[0]["train_loss"] > loss.item() * 0.2
    trainer.penalty = None
    assert loss.item() == pytest.approx(np.log(280), rel=0.05)


def test_training_loss_and_perplexity_are_those_of_a_token(texts):
    settings = MoERecipe(data=str(texts), noise=0.0, epochs=1, lr=1e-30).settled()
    data = settings.load_data()
    trainer = settings.trainer(data)
    loader = settings.trainer(data).loader
    expected, count = 0.0, 0
    with od.no_grad():
        for inputs, targets in loader:
            logits = trainer.model(inputs).data.reshape(-1, 280).astype(np.float64)
            logits -= logits.max(1, keepdims=True)
            losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), targets.ravel()]
            expected, count = expected + losses.sum(), count + losses.size
    trainer.fit(1)
    assert count == settings.seen(data)
    assert trainer.history[0]["train_loss"] == pytest.approx(expected / count, rel=1e-5)
    assert trainer.history[0]["train_perplexity"] == pytest.approx(np.exp(expected / count), rel=1e-4)
    assert trainer.evaluation.tokens == len(data.test) - 1


def test_accumulated_batches_weigh_by_their_tokens(texts):
    settings = MoERecipe(data=str(texts), epochs=1).settled()
    trainer = settings.trainer(settings.load_data())
    targets = np.array([[1, -100, 2], [-100, -100, 3]])
    assert trainer.task.count(targets) == 3
    assert NextToken().shown(12.344) == "12.34"


def test_samples_of_epochs_that_are_repeated_and_lines_cut_short_are_dropped(tmp_path, texts):
    settings = MoERecipe(data=str(texts), epochs=1).settled()
    data = settings.load_data()
    trainer = settings.trainer(data)
    path = tmp_path / "samples.jsonl"
    path.write_text('{"epoch": 0, "text": "a"}\n{"epoch": 1, "text": "b"}\n{"epoch": 2, "te')
    samples = Samples(path, data.tokenizer)
    samples.on_fit_begin(trainer)
    assert samples.latest == "a"
    assert path.read_text() == '{"epoch": 0, "text": "a"}\n'


def test_an_endless_loss_has_a_perplexity():
    assert moe.perplexity(1e9) == moe.perplexity(700.0) < float("inf")


def test_the_default_presets_fit_their_models():
    for preset in ("tiny", "small"):
        settings = MoERecipe(preset=preset).settled()
        rng = np.random.default_rng(0)
        tokens = rng.integers(0, moe.PRESETS[preset].vocabulary, 2000)

        class Tokenizer:
            get_vocab_size = staticmethod(lambda preset=preset: moe.PRESETS[preset].vocabulary)
            token_to_id = staticmethod(lambda name: 0)

        trainer = settings.trainer(TextData("few", Tokenizer(), tokens, tokens[:600]))
        assert trainer.model.config.context >= moe.PRESETS[preset].context
        assert trainer.model.config.stop_tokens == (0,)


@pytest.mark.parametrize("method", ["load_data", "trainer", "introduced", "summarised", "seen"])
def test_what_a_recipe_lacks_is_named(method):
    from odyssey.training.recipe import Recipe

    arguments = {"load_data": (), "summarised": (None, None)}.get(method, (None,))
    with pytest.raises(NotImplementedError, match=rf"Recipe: expected a {method}\(\) method"):
        getattr(Recipe(), method)(*arguments)

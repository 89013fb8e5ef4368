"""The recipe of `odyssey train moe`: text, tokenizer, model, optimizer and schedule, put together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from odyssey.data.loader import DataLoader
from odyssey.data.text.corpus import load_texts, load_topics
from odyssey.data.text.tokenized import TextData, tokenize
from odyssey.data.text.windows import TokenNoise, TokenWindows, WindowSampler
from odyssey.models.moe import MoETransformer
from odyssey.models.pretrained.loading import save_pretrained
from odyssey.optim.adam import AdamW
from odyssey.optim.schedules import cosine
from odyssey.tensor.tensor import Tensor
from odyssey.training.evaluation import TextEvaluation, evaluate_text
from odyssey.training.recipe import Recipe
from odyssey.training.run import RunFolder
from odyssey.training.samples import Samples
from odyssey.training.tasks import NextToken, perplexity
from odyssey.training.trainer import Trainer

__all__ = ["MoERecipe"]

BETAS = (0.9, 0.95)
CLIP = 1.0
WARMUP = 0.1  # of all steps


class Preset(NamedTuple):
    """What goes with a size of the model."""

    vocabulary: int
    context: int  # tokens of a window
    epochs: int
    batch_size: int
    lr: float


PRESETS = {
    "tiny": Preset(vocabulary=1000, context=128, epochs=16, batch_size=16, lr=1e-2),
    "small": Preset(vocabulary=4096, context=256, epochs=12, batch_size=16, lr=1e-3),
}


@dataclass(frozen=True)
class MoERecipe(Recipe[TextData]):
    """A mixture-of-experts transformer that learns what comes next in a text.

    AdamW with betas 0.9 and 0.95, whose weight decay acts on matrices alone; gradients clipped at 1; the rate rises
    over the first tenth of the steps and falls to 0 along a cosine. To the loss comes the balancing loss of the
    experts, times the model's `balance_weight`, 0.01.

    Attributes:
        data: a folder of .txt files, or None for the topics of Python's help.
        preset: "tiny" or "small": the model, its vocabulary, and what learns best with it.
        residual: "add", or "mhc" for manifold-constrained hyper-connections.
        weight_decay: by how much of the learning rate matrices shrink each step.
        noise: the part of the tokens it reads that are replaced by others; see `TokenNoise`.
    """

    name: ClassVar[str] = "moe"
    title: ClassVar[str] = "Mixture of experts"
    samples: ClassVar[str] = "text"

    preset: Literal["tiny", "small"] = "tiny"
    residual: Literal["add", "mhc"] = "add"
    weight_decay: float = 0.5
    noise: float = 0.1

    def settled(self) -> Self:
        """The recipe with nothing left to be chosen."""
        preset = PRESETS[self.preset]
        return replace(
            super().settled(),
            epochs=self.epochs or preset.epochs,
            batch_size=self.batch_size or preset.batch_size,
            lr=preset.lr if self.lr is None else self.lr,
        )

    def load_data(self) -> TextData:
        """The tokens of the text, a tenth of it held out in whole documents; errors as in `load_texts`, `tokenize`."""
        corpus = load_topics() if self.data is None else load_texts(self.data)
        return tokenize(corpus, PRESETS[self.preset].vocabulary)

    def trainer(self, data: TextData) -> Trainer:
        """A Trainer at the very beginning."""
        assert self.epochs is not None
        assert self.batch_size is not None
        assert self.lr is not None
        make = {"tiny": MoETransformer.tiny, "small": MoETransformer.small}[self.preset]
        generator = np.random.default_rng(self.seed)
        end = data.tokenizer.token_to_id("<|endoftext|>")
        model = make(generator=generator, vocab_size=data.vocabulary, residual=self.residual, stop_tokens=(end,))
        context = PRESETS[self.preset].context
        windows = TokenWindows(data.train, context)
        loader = DataLoader(
            windows,
            self.batch_size,
            seed=self.seed,
            sampler=WindowSampler(len(windows), context),
            transform=TokenNoise(data.train, self.noise),
        )
        parameters = list(model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        total = self.epochs * len(loader)
        return Trainer(
            model,
            AdamW(groups, self.lr, betas=BETAS),
            loader,
            self._held_out(data),
            cosine(total, warmup=max(round(WARMUP * total), 1)),
            task=NextToken(),
            penalty=balance,
            clip=CLIP,
        )

    def _held_out(self, data: TextData) -> TokenWindows:
        """Windows that overlap: each token is told from half a window of others at least, but for the first few."""
        context = PRESETS[self.preset].context
        return TokenWindows(data.test, context, context // 2)

    def arguments(self, model: MoETransformer) -> dict[str, Any]:
        """The model's configuration."""
        return asdict(model.config)

    def watch(self, folder: RunFolder, trainer: Trainer, data: TextData) -> None:
        """Keep the run's folder up to date, with a sample of text an epoch."""
        folder.watch(trainer, best=True)
        trainer.callbacks.append(Samples(folder.path / "samples.jsonl", data.tokenizer, self.seed))

    def end(self, folder: RunFolder, trainer: Trainer, data: TextData) -> None:
        """Write the model with its tokenizer, as transformers has them, and the curve."""
        save_pretrained(trainer.model, folder.path / "model", tokenizer=data.tokenizer)
        folder.draw(trainer, f"{self.title} on {data.name}", baseline=("3-gram", data.baseline))

    def introduced(self, data: TextData) -> str:
        """How much text, and what to beat."""
        return (
            f"{len(data.train):,} tokens of {data.vocabulary:,} to learn from, {len(data.test):,} held out, where a "
            f"3-gram model has loss {data.baseline:.4f}, perplexity {perplexity(data.baseline):.2f}"
        )

    def summarised(self, trainer: Trainer, data: TextData) -> Iterator[tuple[str, str]]:
        """The loss on what is held out, how the experts share the work, and the latest sample."""
        found: TextEvaluation = trainer.evaluation or evaluate_text(trainer.model, self._held_out(data))
        yield "held out", f"loss {found.loss:.4f}, perplexity {perplexity(found.loss):.2f}"
        than = "below" if found.loss < data.baseline else "not below"
        yield "3-gram", f"loss {data.baseline:.4f}, perplexity {perplexity(data.baseline):.2f}: the model is {than} it"
        yield (
            "experts",
            ";  ".join(
                f"layer {layer}: " + " ".join(f"{part:.0%}" for part in load) for layer, load in enumerate(found.load)
            ),
        )
        for one in trainer.callbacks:
            if isinstance(one, Samples) and one.latest:
                yield "sample", repr(one.latest)

    def seen(self, data: TextData) -> int:
        """The tokens of an epoch."""
        context = PRESETS[self.preset].context
        return (len(data.train) - 1 - context) // context * context


def balance(model: Any) -> Tensor:
    """What training adds to the loss for the sake of experts that are used evenly."""
    loss: Tensor = model.load_balancing_loss() * model.config.balance_weight
    return loss

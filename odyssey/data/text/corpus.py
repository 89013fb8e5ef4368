"""Text that every Python carries: the reference manual's topics, which `help()` shows, as documents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from odyssey.errors import FormatError

__all__ = ["Corpus", "load_texts", "load_topics", "split_documents"]

SHORT = 40  # letters below which paragraphs are alike by chance


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from, and others that are held out.

    Attributes:
        name: what it is called in a run's configuration.
        train, test: the documents' texts.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def load_topics(held_out: float = 0.1, seed: int = 0, topics: Mapping[str, str] | None = None) -> Corpus:
    """The topics of Python's `help()` (`pydoc_data.topics`), some hundred thousand letters of English and code.

    Many topics quote others. Those that share a paragraph are one document, in which it stands once: else a model that
    learns by heart what it saw would do well on what is held out. The text is that of the running Python, so another
    version's differs.

    Args:
        held_out: the part of the text, in letters, to hold out, in whole documents.
        seed: which documents are held out.
        topics: others than Python's, by name.

    Raises:
        FormatError: this Python has no topics, or they make no two parts.

    Example:
        >>> corpus = load_topics()
        >>> 0.1 <= sum(map(len, corpus.test)) / sum(map(len, corpus.train + corpus.test)) < 0.2
        True
        >>> any(text in other for text in corpus.test for other in corpus.train)
        False
    """
    if topics is None:
        try:
            from pydoc_data.topics import topics as found
        except ImportError as error:
            raise FormatError(
                "load_topics: expected Python's pydoc_data.topics, found a Python without it; install the package that "
                "has Python's documentation, or give texts of your own"
            ) from error
        topics = dict(found)
    train, test = split_documents(_documents(topics), held_out, seed)
    return Corpus("Python's help topics", train, test)


def load_texts(folder: str | os.PathLike[str], held_out: float = 0.1, seed: int = 0) -> Corpus:
    """The .txt files of a folder and those inside, UTF-8, each a document, in the order of their paths.

    Args:
        folder: where they are.
        held_out: the part of the text, in letters, to hold out, in whole documents.
        seed: which documents are held out.

    Raises:
        FileNotFoundError: there is no such folder, or no text in it.
        FormatError: a file is not UTF-8, or they make no two parts.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("one", "two"):
        ...         _ = pathlib.Path(folder, name + ".txt").write_text(name)
        ...     len(load_texts(folder).train)
        1
    """
    paths = sorted(Path(folder).rglob("*.txt"))
    if not paths:
        found = "none there" if Path(folder).is_dir() else "no such folder"
        raise FileNotFoundError(f"{folder}: expected a folder with .txt files, found {found}; check the path")
    texts = []
    for path in paths:
        try:
            texts.append(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise FormatError(f"{path}: expected text in UTF-8, found other bytes ({error}); convert it") from error
    documents = tuple(text for text in texts if text)
    return Corpus(Path(folder).resolve().name, *split_documents(documents, held_out, seed))


def split_documents(documents: tuple[str, ...], held_out: float, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Documents to learn from, and others of `held_out` of all letters or little more, drawn at random.

    One that alone is larger than half of what is asked for is never held out: the rest should be of many kinds.

    Raises:
        FormatError: there are not enough documents for two parts.

    Example:
        >>> split_documents(("a" * 50, "b" * 5, "c" * 45), 0.02, seed=0)[1]
        ('bbbbb',)
    """
    wanted = held_out * sum(map(len, documents))
    order = np.random.default_rng(seed).permutation(len(documents))
    small = [int(i) for i in order if len(documents[i]) <= max(wanted / 2, min(map(len, documents), default=0))]
    chosen: set[int] = set()
    for i in small:
        if sum(len(documents[j]) for j in chosen) >= wanted:
            break
        chosen.add(i)
    train = tuple(text for i, text in enumerate(documents) if i not in chosen)
    test = tuple(text for i, text in enumerate(documents) if i in chosen)
    if not train or not test:
        raise FormatError(
            f"split_documents: expected documents for two parts, found {len(documents)}; give more, or shorter ones"
        )
    return train, test


def _documents(topics: Mapping[str, str]) -> tuple[str, ...]:
    """Topics that share a paragraph, joined in the order of their names, each paragraph once."""
    paragraphs = {name: topics[name].strip("\n").split("\n\n") for name in sorted(topics)}
    first: dict[str, str] = {}  # the paragraph, in whatever layout, and the first topic that has it
    leader = {name: name for name in paragraphs}

    def leading(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for name, parts in paragraphs.items():
        for part in parts:
            if len(part) >= SHORT:
                one, other = sorted((leading(name), leading(first.setdefault(_plain(part), name))))
                leader[other] = one
    texts: dict[str, list[str]] = {}
    seen: set[Any] = set()
    for name, parts in paragraphs.items():
        for part in parts:
            key = _plain(part) if len(part) >= SHORT else (leading(name), part)
            if key not in seen:
                seen.add(key)
                texts.setdefault(leading(name), []).append(part)
    return tuple("\n\n".join(parts) + "\n" for parts in texts.values())


def _plain(paragraph: str) -> str:
    return " ".join(paragraph.split())

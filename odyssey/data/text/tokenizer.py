"""The tokenizer of a model's folder, by the library `tokenizers`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.errors import FormatError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TOKENIZER", "load_tokenizer"]

TOKENIZER = "tokenizer.json"


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer in a tokenizer.json, or in a folder with one, set neither to cut texts nor to fill them up.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is damaged, or of a kind that the library does not know.
        ModuleNotFoundError: the package tokenizers is not installed.
    """
    path = Path(path)
    file = path / TOKENIZER if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: expected a tokenizer, found none; copy it beside the weights, or write it with "
            "transformers: AutoTokenizer.from_pretrained(...).save_pretrained(folder)"
        )
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "text: expected the package tokenizers, found it missing; install it: pip install 'odyssey[models]'",
            name=error.name,
        ) from error
    data = file.read_bytes()
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises nothing narrower
        raise FormatError(f"{file}: expected a tokenizer, found it damaged ({error}); copy it again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer

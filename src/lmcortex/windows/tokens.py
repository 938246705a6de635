"""Words as tokens: each word's own, as it stands after another word."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Tokens of a word depend on the space before it, which tokenizers put in different places: a word
# before it makes that space the usual one.
BEFORE = "the"


class Special(NamedTuple):
    """Special tokens that a tokenizer puts before and behind a text."""

    before: list[int]
    behind: list[int]


def word_tokens(words: Sequence[str], tokenizer: "PreTrainedTokenizerFast") -> list[list[int]]:
    """Return each word's tokens, as the published code encodes a word with a space before it."""
    if not len(words):
        return []
    encoded: Any = tokenizer(
        [f"{BEFORE} {word}" for word in words],
        add_special_tokens=False,
        return_offsets_mapping=True,
    )
    return [
        [token for token, (_, end) in zip(tokens, offsets, strict=True) if end > len(BEFORE)]
        for tokens, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def special_tokens(tokenizer: "PreTrainedTokenizerFast") -> Special:
    """Return what the tokenizer puts around a text by default: attended to, never measured."""
    encoded: Any = tokenizer(BEFORE, return_special_tokens_mask=True)
    tokens = encoded["input_ids"]
    first, last = np.flatnonzero(np.array(encoded["special_tokens_mask"]) == 0)[[0, -1]]
    return Special(tokens[:first], tokens[last + 1 :])

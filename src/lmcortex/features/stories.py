"""Features of the words of a story, read whole through overlapping windows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcortex import models
from lmcortex.errors import InputError
from lmcortex.features.batches import (
    BATCH_TOKENS,
    Arrays,
    batches,
    check_finite,
    empty_arrays,
    progress,
)

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    Reader = Callable[[PreTrainedModel, torch.Tensor], list[torch.Tensor]]


@dataclass(frozen=True)
class Passage:
    """One run of a story as tokens, without the special ones, and the words they belong to.

    ``pairs`` (2 x n) holds word numbers and token numbers; a token may belong to several words, and
    ``shares`` (n) says how much of the word it makes, which sums to 1 over the word's tokens.
    """

    tokens: list[int]
    prefix: list[int]
    suffix: list[int]
    pairs: np.ndarray
    shares: np.ndarray
    rows: np.ndarray


def story_features(
    words: "pd.DataFrame",
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    *,
    context_tokens: int | None = None,
    new_tokens: int = 64,
    batch_tokens: int = BATCH_TOKENS,
    characters: bool = False,
    read: "Reader" = models.residual_states,
    first_layer: int = 0,
) -> Arrays:
    """Read each run's full text through overlapping windows and average states over words.

    The text is tokenised once, whole, by the model's own tokenizer; a word's tokens are those whose
    characters overlap its own. A text longer than the context is read in windows that each add at
    most `new_tokens` tokens, one forward pass a window, so that after the first window every token
    has at least ``context - new_tokens`` tokens before it (Bonnasse-Gahot and Pallier 2024).

    Parameters
    ----------
    words : table with run, before and word; rows of one run in the order of the text.
    model, tokenizer : as loaded by `lmcortex.models`.
    context_tokens : tokens in a window, special ones included; None for all that the model takes.
    new_tokens : tokens that each window adds.
    batch_tokens : tokens in one forward pass, at most (one window at least).
    characters : average over a word's letters, each the mean of its tokens, as for Chinese in
        Bonnasse-Gahot and Pallier (2024); otherwise over its tokens.
    read : what is taken from a pass: a function of the model and tokens (batch x tokens) that
        returns one tensor (batch x tokens x width) for each layer from `first_layer` to the last.

    Returns
    -------
    ``word/{layer:02d}``: float32 (words x width), rows in the order of `words`.

    Raises
    ------
    InputError : a word that aligns to no token, a context that the model does not have, or states
        that are not finite.
    """
    names = words["run"].astype(str) + " word " + words.groupby("run").cumcount().astype(str)
    labels = [f"run {name} {word!r}" for name, word in zip(names, words["word"], strict=True)]
    passages = [
        tokenise_run(words.iloc[rows], np.asarray(rows), labels, tokenizer, characters=characters)
        for rows in words.groupby("run", sort=False).indices.values()
    ]
    context = choose_context(context_tokens, models.context_length(model, tokenizer))
    layers = range(first_layer, len(models.blocks(model)) + 1)
    arrays = empty_arrays(["word"], layers, len(words), model.config.hidden_size)
    with progress(sum(len(passage.tokens) for passage in passages), "token") as bar:
        for passage in passages:
            spans = passage_windows(passage, context, new_tokens)
            for group in batches(spans[:, 1] - spans[:, 0], batch_tokens):
                add_windows(arrays, passage, spans[group], model, read)
                bar.update(int((spans[group, 1] - spans[group, 2]).sum()))
    check_finite(arrays, labels, model)
    return arrays


def text_of(words: "pd.DataFrame") -> str:
    """Return the running text of a passage."""
    return "".join(words["before"] + words["word"])


def tokenise_run(
    words: "pd.DataFrame",
    rows: np.ndarray,
    labels: Sequence[str],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    characters: bool = False,
) -> Passage:
    """Tokenise the running text of one run, `rows` of the table whose words `labels` name."""
    text = text_of(words)
    encoded: Any = tokenizer(
        text,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        truncation=False,
        verbose=False,
    )
    tokens = list(encoded["input_ids"])
    content = np.flatnonzero(np.array(encoded["special_tokens_mask"]) == 0)
    ends = (words["before"].str.len() + words["word"].str.len()).cumsum().to_numpy()
    starts = ends - words["word"].str.len().to_numpy()
    start, stop = (int(content[0]), int(content[-1]) + 1) if len(content) else (0, 0)
    offsets = encoded["offset_mapping"][start:stop]
    if characters:
        owners, places = letters_of_words(text, starts, ends)
        letters = align(text, offsets, places, places + 1)
        pairs = np.vstack([owners[letters[0]], letters[1]])
        of_letters = mean_shares(letters[0])
        shares = of_letters / np.bincount(pairs[0], of_letters)[pairs[0]]
    else:
        pairs = align(text, offsets, starts, ends)
        shares = mean_shares(pairs[0])
    if len(lost := np.setdiff1d(np.arange(len(words)), pairs[0])):
        raise InputError(
            f"{labels[int(rows[lost[0]])]}: the word aligns to no token; "
            "correct it in the word table"
        )
    return Passage(tokens[start:stop], tokens[:start], tokens[stop:], pairs, shares, rows)


def letters_of_words(
    text: str, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the letters and digits of words: which word each is of, and its place in the text."""
    found = [
        (word, place)
        for word, (start, stop) in enumerate(zip(starts, ends, strict=True))
        for place in range(start, stop)
        if text[place].isalnum()
    ]
    owners, places = np.array(found, dtype=int).reshape(-1, 2).T
    return owners, places


def mean_shares(owners: np.ndarray) -> np.ndarray:
    """Return one over how often the owner of each entry stands among them."""
    return 1 / np.bincount(owners)[owners]


def align(
    text: str, offsets: Sequence[tuple[int, int]], starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Pair words with the tokens whose characters, white space aside, overlap theirs.

    Parameters
    ----------
    text : running text.
    offsets : first character and the one after the last, of each token.
    starts, ends : the same of each word, in the order of the text.

    Returns
    -------
    (2 x n) word numbers and token numbers.
    """
    pairs: list[tuple[int, int]] = []
    for token, (start, stop) in enumerate(offsets):
        piece = text[start:stop]
        start += len(piece) - len(piece.lstrip())
        stop -= len(piece) - len(piece.rstrip())
        if start < stop:
            first = int(np.searchsorted(ends, start, side="right"))
            after = int(np.searchsorted(starts, stop, side="left"))
            pairs += [(word, token) for word in range(first, after)]
    return np.array(pairs, dtype=int).reshape(-1, 2).T


def choose_context(asked: int | None, available: int | None) -> int | None:
    if asked is not None and available is not None and asked > available:
        raise InputError(f"context: {asked} tokens asked for, but the model takes {available}")
    return available if asked is None else asked


def passage_windows(passage: Passage, context: int | None, new_tokens: int) -> np.ndarray:
    """Return windows over a passage's tokens, leaving room for the special tokens in each."""
    n_tokens = len(passage.tokens)
    room = n_tokens
    if context is not None:
        room = context - len(passage.prefix) - len(passage.suffix)
    if n_tokens > room and not 0 < new_tokens <= room:
        raise InputError(
            f"context: new_tokens {new_tokens} must be between 1 and the {room} tokens that a "
            "window holds beside the special ones"
        )
    return windows(n_tokens, room, new_tokens)


def windows(n_tokens: int, size: int, new_tokens: int) -> np.ndarray:
    """Cover `n_tokens` tokens with windows of `size` tokens.

    Returns
    -------
    (windows x 3): first token, the one after the last, and the first token whose state is taken
    from this window. From the second window on, that token has ``size - new_tokens`` tokens or more
    before it in the window.
    """
    found = [(0, min(n_tokens, size), 0)]
    while (fresh := found[-1][1]) < n_tokens:
        stop = min(fresh + new_tokens, n_tokens)
        found.append((stop - size, stop, fresh))
    return np.array(found)


def add_windows(
    arrays: Arrays,
    passage: Passage,
    spans: np.ndarray,
    model: "PreTrainedModel",
    read: "Reader",
) -> None:
    """Run windows of equal length and add their new tokens' share to the words they belong to."""
    import torch

    batch = [
        passage.prefix + passage.tokens[start:stop] + passage.suffix for start, stop, _ in spans
    ]
    shares = [word_shares(passage, fresh, stop) for _, stop, fresh in spans]
    states = read(model, torch.tensor(batch, device=model.device))
    for array, state in zip(arrays.values(), states, strict=True):
        for row, (start, stop, fresh) in enumerate(spans):
            found, share = shares[row]
            offset = len(passage.prefix) - start
            taken = state[row, fresh + offset : stop + offset].float()
            summed = torch.from_numpy(share).to(model.device) @ taken
            array[passage.rows[found]] += summed.cpu().numpy()


def word_shares(passage: Passage, fresh: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the words that own any of the tokens `fresh` to `stop`, and each token's share.

    Returns
    -------
    word numbers (words) and shares (words x tokens), float32; those of a word sum to 1 over
    windows.
    """
    inside = (passage.pairs[1] >= fresh) & (passage.pairs[1] < stop)
    word, token = passage.pairs[:, inside]
    found, place = np.unique(word, return_inverse=True)
    share = np.zeros((len(found), stop - fresh), np.float32)
    np.add.at(share, (place, token - fresh), passage.shares[inside])
    return found, share

"""Features of sentences, each read alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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
from lmcortex.features.grams import Grams, empty_grams, token_gram

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

POOLINGS = ("last", "mean")


def sentence_features(
    texts: Mapping[str, str],
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    *,
    poolings: Sequence[str] = POOLINGS,
    batch_tokens: int = BATCH_TOKENS,
) -> Arrays:
    """Read each sentence alone, pool its tokens' states and keep their inner products.

    Parameters
    ----------
    texts, model, tokenizer, batch_tokens : see `read_sentences`.
    poolings : "last" (the last token) and "mean" (over tokens). Special tokens are never pooled.

    Returns
    -------
    ``{pooling}/{layer:02d}``: float32 (items x width), rows in the order of `texts`; and the arrays
    of `lmcortex.features.grams.Grams`.

    Raises
    ------
    InputError : an empty sentence, one longer than the context, or states that are not finite.
    """
    import torch

    if unknown := set(poolings) - set(POOLINGS):
        raise InputError(f"poolings: {sorted(unknown)} not among {', '.join(POOLINGS)}")
    layers = range(len(models.blocks(model)) + 1)
    arrays = empty_arrays(poolings, layers, len(texts), model.config.hidden_size)
    sentences = tokenise_sentences(texts, tokenizer, models.context_length(model, tokenizer))
    grams = empty_grams(sentences.counts(), len(layers) + 1)
    for batch in read_sentences(texts, sentences, model, batch_tokens):
        _keep_grams(grams, batch, list(texts), model)
        for pooling in poolings:
            weights = torch.tensor(
                pooling_weights(batch.states[0].shape[1], pooling), device=model.device
            )
            for layer in layers:
                pooled = torch.einsum("t,btd->bd", weights, batch.states[layer].float())
                arrays[f"{pooling}/{layer:02d}"][batch.rows] = pooled.cpu().numpy()
    check_finite(arrays, [f"item {item}" for item in texts], model)
    return {**arrays, **grams.arrays()}


def sentence_grams(
    texts: Mapping[str, str],
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> Grams:
    """Read each sentence alone, and keep the inner products of its tokens' states only.

    Parameters and errors are those of `sentence_features`.
    """
    sentences = tokenise_sentences(texts, tokenizer, models.context_length(model, tokenizer))
    grams = empty_grams(sentences.counts(), len(models.blocks(model)) + 2)
    for batch in read_sentences(texts, sentences, model, batch_tokens):
        _keep_grams(grams, batch, list(texts), model)
    return grams


class Batch(NamedTuple):
    """Sentences of equal length that were read together.

    `states` are those of each layer and, last, what the model puts out: (rows x tokens x width),
    without special tokens.
    """

    rows: np.ndarray
    states: "list[torch.Tensor]"


class Sentences(NamedTuple):
    """Each sentence's token numbers, and which of them (bool) are not special."""

    tokens: list[list[int]]
    content: list[np.ndarray]

    def counts(self) -> list[int]:
        """Count the tokens that are not special."""
        return [int(ordinary.sum()) for ordinary in self.content]


def read_sentences(
    texts: Mapping[str, str], sentences: Sentences, model: "PreTrainedModel", batch_tokens: int
) -> Iterator[Batch]:
    """Read each sentence alone; those of equal token length share a pass, so nothing is padded.

    The tokenizer adds the special tokens that it adds by default. They are attended to, and left
    out of the states.

    Parameters
    ----------
    texts : sentence of each item.
    sentences : its tokens.
    model : as loaded by `lmcortex.models`.
    batch_tokens : tokens in one forward pass, at most (one sentence at least).
    """
    import torch

    lengths = np.array([len(sentence) for sentence in sentences.tokens])
    with progress(len(texts), "sentence") as bar:
        for rows in batches(lengths, batch_tokens):
            tokens = torch.tensor([sentences.tokens[row] for row in rows], device=model.device)
            # Special tokens stand around a sentence, as many in all sentences.
            first, last = np.flatnonzero(sentences.content[rows[0]])[[0, -1]]
            yield Batch(
                rows, [states[:, first : last + 1] for states in layer_states(model, tokens)]
            )
            bar.update(len(rows))


def layer_states(model: "PreTrainedModel", tokens: "torch.Tensor") -> "list[torch.Tensor]":
    """Return what `models.residual_states` does and, last, what the model puts out.

    Returns
    -------
    L + 2 tensors (batch x tokens x width).
    """
    outputs: list[torch.Tensor] = []

    def keep_output(module: Any, args: tuple[Any, ...], output: Any) -> None:
        outputs.append(output.last_hidden_state)

    with model.register_forward_hook(keep_output):
        states = models.residual_states(model, tokens)
    return [*states, *outputs]


def _keep_grams(grams: Grams, batch: Batch, items: Sequence[str], model: "PreTrainedModel") -> None:
    labels = [f"item {items[row]}" for row in batch.rows]
    for layer, states in enumerate(batch.states):
        gram = token_gram(states).cpu().numpy()
        check_finite({f"token/{layer:02d}": gram.reshape(len(gram), -1)}, labels, model)
        grams.put(layer, batch.rows, gram)


def tokenise_sentences(
    texts: Mapping[str, str], tokenizer: "PreTrainedTokenizerFast", context: int | None
) -> Sentences:
    """Return each sentence's token numbers, and which of them are not special."""
    encoded: Any = tokenizer(
        list(texts.values()), return_special_tokens_mask=True, padding=False, truncation=False
    )
    tokens = list(encoded["input_ids"])
    content = [np.array(mask) == 0 for mask in encoded["special_tokens_mask"]]
    for item, sentence, ordinary in zip(texts, tokens, content, strict=True):
        if not ordinary.any():
            raise InputError(
                f"item {item}: its text {texts[item]!r} holds no token; remove the row"
            )
        if context is not None and len(sentence) > context:
            raise InputError(
                f"item {item}: {len(sentence)} tokens, but the model's context is {context}; "
                "shorten the sentence or leave this model out"
            )
    return Sentences(tokens, content)


def pooling_weights(n_tokens: int, pooling: str) -> np.ndarray:
    """Return the weight of each token (float32) in a pooled vector."""
    if pooling == "mean":
        return np.full(n_tokens, 1 / n_tokens, np.float32)
    last = np.zeros(n_tokens, np.float32)
    last[-1] = 1
    return last

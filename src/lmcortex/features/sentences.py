"""Features of sentences, each read alone."""

from collections.abc import Mapping, Sequence
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
    """Read each sentence alone and pool its tokens' states.

    The tokenizer adds the special tokens that it adds by default; they are attended to but never
    pooled. Sentences of equal token length share a forward pass, so that there is no padding.

    Parameters
    ----------
    texts : sentence of each item.
    model, tokenizer : as loaded by `lmcortex.models`.
    poolings : "last" (the last token) and "mean" (over tokens).
    batch_tokens : tokens in one forward pass, at most (one sentence at least).

    Returns
    -------
    ``{pooling}/{layer:02d}``: float32 (items x width), rows in the order of `texts`.

    Raises
    ------
    InputError : an empty sentence, one longer than the context, or states that are not finite.
    """
    import torch

    if unknown := set(poolings) - set(POOLINGS):
        raise InputError(f"poolings: {sorted(unknown)} not among {', '.join(POOLINGS)}")
    tokens, content = tokenise_sentences(texts, tokenizer, models.context_length(model, tokenizer))
    layers = range(len(models.blocks(model)) + 1)
    arrays = empty_arrays(poolings, layers, len(texts), model.config.hidden_size)
    lengths = np.array([len(sentence) for sentence in tokens])
    with progress(len(texts), "sentence") as bar:
        for rows in batches(lengths, batch_tokens):
            batch = torch.tensor([tokens[row] for row in rows], device=model.device)
            weights = {
                pooling: torch.tensor(
                    np.stack([pooling_weights(content[row], pooling) for row in rows]),
                    device=model.device,
                )
                for pooling in poolings
            }
            for layer, states in enumerate(models.residual_states(model, batch)):
                for pooling in poolings:
                    pooled = torch.einsum("bt,btd->bd", weights[pooling], states.float())
                    arrays[f"{pooling}/{layer:02d}"][rows] = pooled.cpu().numpy()
            bar.update(len(rows))
    check_finite(arrays, [f"item {item}" for item in texts], model)
    return arrays


def tokenise_sentences(
    texts: Mapping[str, str], tokenizer: "PreTrainedTokenizerFast", context: int | None
) -> tuple[list[list[int]], list[np.ndarray]]:
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
    return tokens, content


def pooling_weights(content: np.ndarray, pooling: str) -> np.ndarray:
    """Return the weight of each token (float32) in a pooled vector."""
    if pooling == "mean":
        return (content / content.sum()).astype(np.float32)
    last = np.zeros(len(content), np.float32)
    last[np.flatnonzero(content)[-1]] = 1
    return last

"""Entropy and curvature of every sentence at every layer, in one forward pass."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcortex import models
from lmcortex.features.batches import BATCH_TOKENS, batches, check_finite, progress
from lmcortex.features.sentences import tokenise_sentences
from lmcortex.geometry.curvature import curvatures
from lmcortex.geometry.entropy import entropies, per_log_tokens
from lmcortex.geometry.gram import token_gram
from lmcortex.geometry.passages import story_passages
from lmcortex.geometry.variants import FIRST_TOKEN, KEY, MEASURES

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Geometry:
    """What `measure_geometry` found: a table (see `sentence_geometry`), facts for provenance."""

    table: "pd.DataFrame"
    facts: dict[str, Any]


def measure_geometry(
    items: "pd.DataFrame",
    words: "pd.DataFrame",
    checkpoint: Mapping[str, Any],
    spec: Mapping[str, Any],
    device: str = "auto",
    threads: int = 1,
) -> Geometry:
    """Measure the geometry of a dataset's stimulus in one checkpoint.

    Parameters
    ----------
    items, words : tables as `lmcortex.stimuli` makes them.
    checkpoint : description made by `lmcortex.models.fetch.fetch_checkpoint`.
    spec : ``kind`` ("sentences": each item is one; "story": see `story_passages`) and ``dtype`` of
        the forward pass.
    device : "auto", "cpu" or "cuda".
    threads : processor threads.
    """
    import torch

    torch.set_num_threads(threads)
    dtype = spec.get("dtype", "float32")
    model = models.load_model(checkpoint, dtype, device)
    if spec["kind"] == "sentences":
        texts = dict(zip(items["item"], items["text"], strict=True))
    else:
        texts = story_passages(words)
    table = sentence_geometry(texts, model, models.load_tokenizer(checkpoint))
    facts = models.forward_facts(model, checkpoint, list(texts.values()), len(texts), threads)
    return Geometry(table, facts)


def sentence_geometry(
    texts: Mapping[str, str],
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> "pd.DataFrame":
    """Read each sentence alone and measure the entropy and curvature of its tokens' states.

    The tokenizer adds the special tokens that it adds by default; they are attended to but never
    measured. "First token" means the first of the others, on which models without a special first
    token often put an activation that dwarfs all else.

    Parameters
    ----------
    texts : sentence of each item.
    model, tokenizer : as loaded by `lmcortex.models`.
    batch_tokens : tokens in one forward pass, at most (one sentence at least).

    Returns
    -------
    One row for each layer and variant, with the columns

    * layer (int64): 0 = embeddings, l = after block l;
    * state (str): ``residual``, the residual stream before any final norm; ``normed`` (last layer
      only), the model's output after its final norm, the same as ``residual`` in models without;
    * measure (str): ``entropy`` or ``curvature``;
    * variant (str): see `lmcortex.geometry.variants`;
    * unit (str): ``nats``, ``log tokens`` (the entropy over the log of the number of tokens, at
      most 1) or ``degrees``;
    * first_token (bool): whether the first token is measured, too;
    * mean, sd, se (float64, in `unit`): over the sentences used; NaN for too few of them;
    * n_sentences, n_left_out (int64): sentences used, and those in which nothing is defined: one
      token in ``log tokens``, ``centred`` and ``skean``, fewer than three in curvature ``steps`` or
      two in ``tokens``, all states equal;
    * n_zero (int64): states (or steps) of length 0 in all sentences together, left out of them;
    * values (list of float64, in `unit`): one per sentence in the order of `texts`, NaN where left
      out. Sentence i is the same in every row, so that sentences may be resampled.

    Raises
    ------
    InputError : an empty sentence, one longer than the context, or states that are not finite.
    """
    import torch

    tokens, content = tokenise_sentences(texts, tokenizer, models.context_length(model, tokenizer))
    labels = [f"item {item}" for item in texts]
    n_states = len(models.blocks(model)) + 2
    values = np.full((n_states, len(FIRST_TOKEN), len(MEASURES), len(texts)), np.nan)
    n_zero = np.zeros(values.shape[:-1], dtype=np.int64)
    with progress(len(texts), "sentence") as bar:
        for rows in batches(np.array([len(sentence) for sentence in tokens]), batch_tokens):
            batch = torch.tensor([tokens[row] for row in rows], device=model.device)
            # Special tokens stand around a sentence, as many in all sentences.
            first, last = np.flatnonzero(content[rows[0]])[[0, -1]]
            layers = [states[:, first : last + 1] for states in layer_states(model, batch)]
            measured, zeros = measure_layers(layers, [labels[row] for row in rows], model)
            values[..., rows] = measured
            n_zero += zeros.sum(axis=-1)
            bar.update(len(rows))
    return summarise(values, n_zero)


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


def measure_layers(
    layers: "Sequence[torch.Tensor]", labels: Sequence[str], model: "PreTrainedModel"
) -> tuple[np.ndarray, np.ndarray]:
    """Measure sentences of equal length at every layer.

    Parameters
    ----------
    layers : states (sentences x tokens x width) of each layer.
    labels : names of the sentences, for messages.

    Returns
    -------
    values, n_zero : (layers x `FIRST_TOKEN` x `MEASURES` x sentences).
    """

    def measure(layer: "tuple[int, torch.Tensor]") -> tuple[np.ndarray, np.ndarray]:
        number, states = layer
        gram = token_gram(states)
        check_finite({f"token/{number:02d}": gram.flatten(1).cpu().numpy()}, labels, model)
        values, n_zero = measure_gram(gram)
        return values.cpu().numpy(), n_zero.cpu().numpy()

    with one_thread_each() as threads, ThreadPoolExecutor(threads) as pool:
        values, n_zero = zip(*pool.map(measure, enumerate(layers)), strict=True)
    return np.stack(values), np.stack(n_zero)


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Yield torch's number of threads, and keep each matrix on one: several wait for each other.

    On matrices of 8 tokens, two threads take twice as long as one, and ten times on a busy machine.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def measure_gram(gram: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Measure sentences of equal length by the Gram matrices of their tokens.

    Parameters
    ----------
    gram : (sentences x tokens x tokens) float64.

    Returns
    -------
    values, n_zero : (`FIRST_TOKEN` x `MEASURES` x sentences).
    """
    import torch

    values, n_zero = [], []
    for first_token in FIRST_TOKEN:
        part = gram if first_token else gram[:, 1:, 1:]
        nats, n_tokens = entropies(part)
        degrees, n_equal = curvatures(part)
        values.append(torch.cat([nats, per_log_tokens(nats, n_tokens), degrees]))
        dropped = part.shape[-1] - n_tokens
        n_zero.append(torch.cat([dropped, dropped, n_equal]))
    return torch.stack(values), torch.stack(n_zero)


def summarise(values: np.ndarray, n_zero: np.ndarray) -> "pd.DataFrame":
    """Lay out the table of `sentence_geometry`.

    Parameters
    ----------
    values : (states x `FIRST_TOKEN` x `MEASURES` x sentences), NaN where undefined; the last state
        is the normed one.
    n_zero : (states x `FIRST_TOKEN` x `MEASURES`).
    """
    import pandas as pd

    last = len(values) - 2
    states = [*((layer, "residual") for layer in range(last + 1)), (last, "normed")]
    keys = [
        (*state, *measure, first_token)
        for state in states
        for first_token in FIRST_TOKEN
        for measure in MEASURES
    ]
    by_row = values.reshape(len(keys), -1)
    used = (~np.isnan(by_row)).sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 = NaN: no sentence, or no other than this
        mean = np.nansum(by_row, axis=1) / used
        squares = np.nansum((by_row - mean[:, None]) ** 2, axis=1)
        sd = np.sqrt(squares / np.maximum(used - 1, 0))
    return pd.DataFrame(keys, columns=KEY).assign(
        mean=mean,
        sd=sd,
        se=sd / np.sqrt(np.maximum(used, 1)),
        n_sentences=used,
        n_left_out=by_row.shape[1] - used,
        n_zero=n_zero.ravel(),
        values=pd.Series(list(by_row), dtype=object),
    )

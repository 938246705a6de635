"""Entropy and curvature of every sentence at every layer, from the inner products of its tokens."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcortex import models
from lmcortex.features.batches import BATCH_TOKENS, batches
from lmcortex.features.extract import load
from lmcortex.features.grams import Grams
from lmcortex.features.sentences import sentence_grams
from lmcortex.geometry.curvature import curvatures
from lmcortex.geometry.entropy import entropies, per_log_tokens
from lmcortex.geometry.passages import story_passages
from lmcortex.geometry.variants import FIRST_TOKEN, KEY, MEASURES

if TYPE_CHECKING:
    import pandas as pd
    import torch


@dataclass(frozen=True)
class Geometry:
    """What `measure_passages` found: a table (see `measure_geometry`), facts for provenance."""

    table: "pd.DataFrame"
    facts: dict[str, Any]


def measure_passages(
    words: "pd.DataFrame",
    checkpoint: Mapping[str, Any],
    spec: Mapping[str, Any],
    device: str = "auto",
    threads: int = 1,
) -> Geometry:
    """Measure the geometry of the passages of a story in one checkpoint.

    Parameters
    ----------
    words : table as `lmcortex.stimuli` makes it.
    checkpoint : description made by `lmcortex.models.fetch.fetch_checkpoint`.
    spec : ``dtype`` of the forward pass.
    device : "auto", "cpu" or "cuda".
    threads : processor threads.
    """
    model, tokenizer = load(checkpoint, spec, device, threads)
    texts = story_passages(words)
    table = measure_geometry(sentence_grams(texts, model, tokenizer))
    facts = models.forward_facts(model, checkpoint, list(texts.values()), len(texts), threads)
    return Geometry(table, facts)


def measure_geometry(grams: Grams) -> "pd.DataFrame":
    """Measure the entropy and curvature of sentences at every layer.

    "First token" means the first that is not special, on which models without a special first token
    often put an activation that dwarfs all else.

    Parameters
    ----------
    grams : inner products of the tokens of sentences that were read one by one.

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
    """
    shape = (len(grams.states), len(FIRST_TOKEN), len(MEASURES))
    values = np.full((*shape, len(grams.tokens)), np.nan)
    n_zero = np.zeros(shape, dtype=np.int64)
    for rows in batches(grams.tokens, BATCH_TOKENS):
        measured, zeros = measure_states(grams, rows)
        values[..., rows] = measured
        n_zero += zeros.sum(axis=-1)
    return summarise(values, n_zero)


def measure_states(grams: Grams, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure sentences of equal length in every state.

    Returns
    -------
    values, n_zero : (states x `FIRST_TOKEN` x `MEASURES` x rows).
    """
    import torch

    def measure(state: int) -> tuple[np.ndarray, np.ndarray]:
        values, n_zero = measure_gram(torch.from_numpy(grams.of(state, rows)))
        return values.numpy(), n_zero.numpy()

    with one_thread_each() as threads, ThreadPoolExecutor(threads) as pool:
        values, n_zero = zip(*pool.map(measure, range(len(grams.states))), strict=True)
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
    """Lay out the table of `measure_geometry`.

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

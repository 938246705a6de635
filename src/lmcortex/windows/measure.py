"""Integration windows and structure yoking of every unit of a checkpoint."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmcortex import models
from lmcortex.errors import InputError
from lmcortex.windows import fits
from lmcortex.windows.differences import HALVES, Sequences, accumulate
from lmcortex.windows.tokens import special_tokens, word_tokens
from lmcortex.windows.yoking import yoking_index, yoking_vector

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

# Bytes of the sums that may be held at once: if those of all layers take more, the sequences are
# read once for each block of layers.
BLOCK_BYTES = 2**29
FLOAT = 4
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Windows:
    """What `measure_windows` found.

    Attributes
    ----------
    windows : see `fitted_rows`.
    yoking : see `yoked_rows`.
    differences : ``{unit_words:02d}/{side}/{layer:02d}`` (words x lags), mean over units of the
        differences, each unit's over its median at lag 0; of series of sentences only.
    facts : for provenance.
    """

    windows: pd.DataFrame
    yoking: pd.DataFrame
    differences: Arrays
    facts: dict[str, Any]


def measure_windows(
    swaps: pd.DataFrame,
    checkpoint: Mapping[str, Any],
    spec: Mapping[str, Any],
    device: str = "auto",
    threads: int = 1,
) -> Windows:
    """Measure the windows of one checkpoint by swapped words.

    Parameters
    ----------
    swaps : table of `swaps.choose_swaps`.
    checkpoint : description made by `lmcortex.models.fetch.fetch_checkpoint`.
    spec : `lags` (of a window, after lag 0), `units` (how many of each layer, evenly spaced; None:
        all), `task` of the model and `dtype` of the forward pass.
    device : "auto", "cpu" or "cuda".
    threads : processor threads.
    """
    import torch

    torch.set_num_threads(threads)
    model = models.load_model(checkpoint, spec["dtype"], device)
    tokenizer = models.load_tokenizer(checkpoint)
    found = measure_model(swaps, model, tokenizer, spec)
    text = swaps[["word", "swap"]].to_numpy().tolist()
    facts = models.forward_facts(model, checkpoint, text, len(swaps), threads)
    return Windows(*found, facts)


def measure_model(
    swaps: pd.DataFrame,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    spec: Mapping[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame, Arrays]:
    """Return the windows, the yoking and the differences of a loaded model; see `Windows`."""
    units = chosen_units(model.config.hidden_size, spec["units"])
    windows, yoking = [], []
    arrays: Arrays = {}
    for length in sorted(set(swaps["unit_words"])):
        table = swaps[swaps["unit_words"] == length]
        sequences = sequences_of(table, tokenizer, models.context_length(model, tokenizer))
        n_lags = sequences.n_words if length else spec["lags"] + 1
        causal = spec["task"] == "causal"
        for layer, side, halves in blocks(sequences, model, n_lags, units, causal):
            about = {"layer": layer, "side": side, "unit": units}
            whole = mean_of_halves(halves, len(sequences.words))
            if length:
                yoking.append(yoked_rows(whole, halves, length).assign(**about))
                arrays[f"{length:02d}/{side}/{layer:02d}"] = mean_over_units(whole)
            else:
                windows.append(fitted_rows(whole, halves).assign(**about))
    key = ["layer", "side", "unit"]
    return joined(windows, key), joined(yoking, ["unit_words", *key]), arrays


def joined(parts: list[pd.DataFrame], key: list[str]) -> pd.DataFrame:
    """Join the rows of all layers, key first; a table of the key alone where nothing was asked."""
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=key)
    return table[[*key, *(name for name in table.columns if name not in key)]]


def chosen_units(width: int, n: int | None) -> np.ndarray:
    """Return the numbers of `n` units, evenly spaced, or of all."""
    if n is None or n >= width:
        return np.arange(width)
    return np.linspace(0, width - 1, n).round().astype(int)


def sequences_of(
    table: pd.DataFrame, tokenizer: "PreTrainedTokenizerFast", context: int | None
) -> Sequences:
    """Turn rows of the table of swaps into tokens.

    Raises
    ------
    InputError : a sequence is longer than the context.
    """
    table = table.sort_values(["sequence", "position"])
    n_sequences = table["sequence"].nunique()
    special = special_tokens(tokenizer)
    words, swaps = (
        cut(word_tokens(table[column].tolist(), tokenizer), n_sequences)
        for column in ("word", "swap")
    )
    sequences = Sequences(words, swaps, special)
    longest = max(len(sequences.tokens(row)) for row in range(n_sequences))
    if context is not None and longest > context:
        raise InputError(
            f"windows: sequences of {sequences.n_words} words have up to {longest} tokens, but the "
            f"model's context is {context}; ask for fewer words or leave this model out"
        )
    return sequences


def cut(tokens: list[list[int]], n_sequences: int) -> list[list[list[int]]]:
    """Cut the words of all sequences into sequences, which have equally many."""
    n_words = len(tokens) // n_sequences
    return [tokens[begin : begin + n_words] for begin in range(0, len(tokens), n_words)]


def blocks(
    sequences: Sequences,
    model: "PreTrainedModel",
    n_lags: int,
    units: np.ndarray,
    causal: bool,
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Yield layer, side and differences (halves x words x lags x units), a block in memory."""
    n_layers = len(models.blocks(model)) + 1
    sides = 1 if causal else 2
    size = FLOAT * sides * HALVES * sequences.n_words * n_lags * len(units)
    step = max(1, BLOCK_BYTES // size)
    for begin in range(0, n_layers, step):
        layers = range(begin, min(begin + step, n_layers))
        found = accumulate(
            sequences, model, n_lags=n_lags, layers=layers, units=units, causal=causal
        )
        for side, values in found.items():
            for number, layer in enumerate(layers):
                yield layer, side, values[:, number]


def mean_of_halves(halves: np.ndarray, n_sequences: int) -> np.ndarray:
    counts = [len(range(half, n_sequences, HALVES)) for half in range(HALVES)]
    return np.average(halves, axis=0, weights=counts)


def mean_over_units(differences: np.ndarray) -> np.ndarray:
    """Return (words x lags) float32 differences, each unit's over its median at lag 0."""
    scale = np.median(differences[:, 0], axis=0)
    moved = scale > 0
    return (differences[..., moved] / scale[moved]).mean(axis=-1).astype(np.float32)


def fitted_rows(differences: np.ndarray, halves: np.ndarray) -> pd.DataFrame:
    """Fit the windows of a layer.

    Parameters
    ----------
    differences : (words x lags x units).
    halves : (2 x words x lags x units), of the sequences by turns.

    Returns
    -------
    One row per unit, with the columns

    * kind, kind_bic (str): the simplest form that predicts the held-out half (`fits.simplest`), and
      that of lowest BIC; of `fits.KINDS`;
    * length (words): `fits.window_lengths`;
    * level, rate, exponent: parameters of the flat form, exponential and power law alone;
    * mixture_exponent, mixture_rate, mixture_weight: of both together;
    * mse_{form}: of the form, fitted to the first half of the sequences, on the second half;
    * bic_{form}: of the form on all sequences;
    * window (list of float64): values at lag 0, 1, ...
    """
    windows = fits.integration_windows(differences)
    found = fits.fit_windows(windows)
    first, second = (fits.integration_windows(half) for half in halves)
    held_out = fits.squared_errors(fits.fit_windows(first), second)
    criteria = fits.bic(fits.squared_errors(found, windows), windows.shape[1])
    exponent, rate, weight = found.mixture.T
    return pd.DataFrame(
        {
            "kind": fits.simplest(held_out),
            "kind_bic": fits.lowest_of(criteria),
            "length": fits.window_lengths(windows),
            "level": found.level,
            "rate": found.rate,
            "exponent": found.exponent,
            "mixture_exponent": exponent,
            "mixture_rate": rate,
            "mixture_weight": weight,
            **{f"mse_{form}": error for form, error in held_out.items()},
            **{f"bic_{form}": value for form, value in criteria.items()},
            "window": pd.Series(list(windows), dtype=object),
        }
    )


def yoked_rows(differences: np.ndarray, halves: np.ndarray, unit_words: int) -> pd.DataFrame:
    """Measure the structure yoking of a layer.

    Parameters
    ----------
    differences : (words x lags x units), of series of sentences.
    halves : (2 x words x lags x units), of the series by turns.
    unit_words : words of a sentence.

    Returns
    -------
    One row per unit: unit_words, index (`yoking.yoking_index`), index_first and index_second (of
    each half of the series alone), vector (list of float64, `yoking.yoking_vector`).
    """
    vector = yoking_vector(differences, unit_words)
    first, second = (yoking_index(yoking_vector(half, unit_words), unit_words) for half in halves)
    return pd.DataFrame(
        {
            "unit_words": unit_words,
            "index": yoking_index(vector, unit_words),
            "index_first": first,
            "index_second": second,
            "vector": pd.Series(list(vector.T), dtype=object),
        }
    )

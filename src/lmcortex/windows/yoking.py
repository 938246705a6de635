"""Structure yoking: do windows end where a sentence begins?

Skrill & Norman-Haignere 2023, Adv. NeurIPS 36:638-654, as in its code (`word_swap`, `plots`).
"""

import numpy as np


def yoking_vector(differences: np.ndarray, unit_words: int) -> np.ndarray:
    """Return by how much more a swap is felt than that of the word before, at each word.

    Parameters
    ----------
    differences : (words x lags x units), as `fits.integration_windows` takes them, at least
        ``unit_words - 1`` lags.
    unit_words : words of each sentence of the sequences.

    Returns
    -------
    (words - unit_words + 1 x units): the difference of the differences, mean over the next
    ``unit_words - 1`` words, over the unit's median difference at lag 0. The first row, a word with
    none before it, and units that no swap changes are NaN.
    """
    n_words, _, n_units = differences.shape
    felt = differences[: n_words - unit_words + 1, : unit_words - 1].astype(np.float64).mean(axis=1)
    scale = np.median(differences[:, 0].astype(np.float64), axis=0)
    vector = np.full((len(felt), n_units), np.nan)
    rise = np.diff(felt, axis=0)
    np.divide(rise, scale, out=vector[1:], where=np.broadcast_to(scale > 0, rise.shape))
    return vector


def yoking_index(vector: np.ndarray, unit_words: int) -> np.ndarray:
    """Return the mean of `yoking_vector` at the first words of sentences, the second on: (units,).

    Above 0: the first word of a sentence is felt in the words that follow more than the last word
    of the sentence before, so that windows end at the boundary. Windows of a fixed length give 0.
    """
    return vector[unit_words::unit_words].mean(axis=0)

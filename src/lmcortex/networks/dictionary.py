"""Dictionary learning: atoms, time courses that sparsely add up to those of all neurons."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lmcortex.errors import InputError
from lmcortex.features.batches import progress
from lmcortex.seeds import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 512  # neurons in one step of the online solver
CHUNK = 4096  # neurons that are coded at once when the dictionary is learnt
CODE_STEPS = 1000  # of coordinate descent, at most


class Dictionary(NamedTuple):
    """Atoms and how they make up the signals.

    Attributes
    ----------
    atoms : (n_atoms, n_samples) float64, of unit length, by falling sum of absolute weights; signs
        are such that an atom's weights sum to more than 0.
    weights : (n_atoms, n_signals) float32.
    r2 : (n_signals,) float32, share of each signal's variance that its code explains.
    seed_match : (n_atoms,) mean over the other seeds of the largest absolute correlation with an
        atom of theirs; NaN for a single seed.
    """

    atoms: np.ndarray
    weights: np.ndarray
    r2: np.ndarray
    seed_match: np.ndarray


def learn_dictionary(
    signals: np.ndarray,
    n_atoms: int,
    penalty: float,
    *,
    epochs: int = 8,
    seeds: int = 1,
    key: "Sequence[str | int]" = (),
) -> Dictionary:
    """Learn atoms D and sparse weights A that minimise ``1/2 |x - D'a|^2 + penalty |a|_1``.

    Online dictionary learning (Mairal et al. 2009, ICML) by scikit-learn's
    `MiniBatchDictionaryLearning`, codes by coordinate descent. Each seed starts from other signals
    and takes them in another order; the one with the lowest objective is kept.

    Parameters
    ----------
    signals : (n_signals, n_samples) float32 or float64 rows of mean 0 and unit length.
    n_atoms : at most `n_signals`.
    penalty : between 0 and 1: at 1 every code is 0, whatever the atoms.
    epochs : how often each signal is seen.
    seeds : number of starts.
    key : names of the seeds' stream of random numbers.

    Raises
    ------
    InputError : more atoms than signals.
    """
    if n_atoms > len(signals):
        raise InputError(
            f"networks: {n_atoms} atoms for {len(signals)} neurons; lower n_atoms in the study"
        )
    starts = []
    for seed in range(seeds):
        learnt = fit_atoms(signals, n_atoms, penalty, epochs, (*key, seed))
        weights, r2, objective = code(signals, learnt, penalty)
        starts.append((objective, seed, learnt, weights, r2))
    _, best, atoms, weights, r2 = min(starts, key=lambda start: start[:2])
    others = [learnt for _, seed, learnt, _, _ in starts if seed != best]
    return arrange(atoms, weights, r2, match(atoms, others))


def fit_atoms(
    signals: np.ndarray, n_atoms: int, penalty: float, epochs: int, key: "Sequence[str | int]"
) -> np.ndarray:
    """Return atoms (n_atoms, n_samples) of unit length, as one start finds them."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    rng = generator("dictionary", *key)
    start = signals[rng.choice(len(signals), n_atoms, replace=False)].astype(np.float64)
    settings: dict[str, Any] = {
        "n_components": n_atoms,
        "alpha": penalty,
        "fit_algorithm": "cd",
        "transform_max_iter": CODE_STEPS,
        "dict_init": start,
        "random_state": int(rng.integers(2**31)),
    }
    solver = MiniBatchDictionaryLearning(**settings)
    with progress(epochs * len(signals), "neuron") as bar, near_enough():
        for _ in range(epochs):
            order = rng.permutation(len(signals))
            for rows in np.array_split(order, -(-len(order) // BATCH)):
                # One batch at a time is float64: coordinate descent cannot end in float32.
                solver.partial_fit(signals[rows].astype(np.float64))
                bar.update(len(rows))
    lengths = np.linalg.norm(solver.components_, axis=1, keepdims=True)
    return solver.components_ / lengths


def sparse_weights(signals: np.ndarray, atoms: np.ndarray, penalty: float) -> np.ndarray:
    """Return the weights (n_signals, n_atoms) that minimise the objective above for fixed atoms."""
    from sklearn.decomposition import sparse_encode

    settings: dict[str, Any] = {"algorithm": "lasso_cd", "max_iter": CODE_STEPS}
    with near_enough():
        return sparse_encode(signals, atoms, alpha=penalty, check_input=False, **settings)


@contextmanager
def near_enough() -> Iterator[None]:
    """Let codes stop after `CODE_STEPS` without a warning for each batch.

    scikit-learn asks for a duality gap of 1e-8 of the signal's variance; the codes that stop before
    it were within 1e-4 of it, and thousands of warnings would hide how far the work is.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def code(
    signals: np.ndarray, atoms: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Code all signals, some at a time.

    Returns
    -------
    weights (n_atoms, n_signals) and r2 (n_signals,), both float32; mean objective.
    """
    weights = np.empty((len(atoms), len(signals)), np.float32)
    r2 = np.empty(len(signals), np.float32)
    objective = 0.0
    for rows in chunks(len(signals)):
        part = signals[rows].astype(np.float64)
        found = sparse_weights(part, atoms, penalty)
        errors = ((part - found @ atoms) ** 2).sum(axis=1)
        weights[:, rows] = found.T
        r2[rows] = 1 - errors / (part**2).sum(axis=1)
        objective += float(errors.sum() / 2 + penalty * np.abs(found).sum())
    return weights, r2, objective / len(signals)


def chunks(n: int) -> Iterator[slice]:
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))


def match(atoms: np.ndarray, others: "Sequence[np.ndarray]") -> np.ndarray:
    """Return how well each atom is found again: see `Dictionary.seed_match`."""
    if not others:
        return np.full(len(atoms), np.nan)
    return np.mean([np.abs(atoms @ other.T).max(axis=1) for other in others], axis=0)


def arrange(
    atoms: np.ndarray, weights: np.ndarray, r2: np.ndarray, seed_match: np.ndarray
) -> Dictionary:
    """Order atoms and choose their signs, as `Dictionary` says."""
    order = np.argsort(-np.abs(weights).sum(axis=1, dtype=np.float64), kind="stable")
    signs = np.where(weights.sum(axis=1, dtype=np.float64) < 0, -1.0, 1.0)[order, None]
    return Dictionary(
        atoms[order] * signs,
        weights[order] * signs.astype(np.float32),
        r2,
        seed_match[order],
    )

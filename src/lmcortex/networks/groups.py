"""Sub-groups of neurons: those that an atom speaks for, and the layers that they are of."""

from typing import NamedTuple

import numpy as np

NOBODY = -1


class LayerProfile(NamedTuple):
    """How the neurons of each atom's sub-group are spread over the layers.

    Attributes
    ----------
    counts : (n_atoms, n_layers) neurons of the sub-group in layers 1 to L.
    depth : (n_atoms,) centre of mass over layer / L; NaN for an empty sub-group.
    entropy : (n_atoms,) nats; log(L) at most.
    p : (n_atoms,) of the chi-squared test against layers in proportion to their neurons.
    """

    counts: np.ndarray
    depth: np.ndarray
    entropy: np.ndarray
    p: np.ndarray


def hard_groups(weights: np.ndarray) -> np.ndarray:
    """Return the atom with the largest absolute weight of each neuron; -1 where all are 0.

    Parameters
    ----------
    weights : (n_atoms, n_neurons).
    """
    sizes = np.abs(weights)
    return np.where(sizes.max(axis=0) > 0, sizes.argmax(axis=0), NOBODY)


def membership(weights: np.ndarray, kind: str) -> np.ndarray:
    """Return which neurons belong to each atom: bool (n_atoms, n_neurons).

    A neuron is in the ``hard`` sub-group of the one atom with its largest absolute weight, and in
    the ``soft`` one of every atom with a weight other than 0.
    """
    if kind == "soft":
        return weights != 0
    return hard_groups(weights) == np.arange(len(weights))[:, None]


def layer_profile(members: np.ndarray, layers: np.ndarray, n_layers: int) -> LayerProfile:
    """Count sub-groups by layer, and describe the counts.

    Parameters
    ----------
    members : bool (n_atoms, n_neurons).
    layers : (n_neurons,) layer of each neuron, 1 to `n_layers`.
    """
    from scipy.stats import chi2

    numbers = np.arange(1, n_layers + 1)
    of_layer = layers == numbers[:, None]
    counts = members.astype(np.int64) @ of_layer.T.astype(np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals, totals, 1)
    logs = np.log(np.where(shares > 0, shares, 1))
    present = of_layer.any(axis=1)
    expected = totals * of_layer.mean(axis=1)
    safe = np.where(expected > 0, expected, 1)
    statistic = np.where(expected > 0, (counts - expected) ** 2 / safe, 0).sum(axis=1)
    some = totals[:, 0] > 0
    return LayerProfile(
        counts,
        np.where(some, shares @ numbers / n_layers, np.nan),
        np.where(some, -(shares * logs).sum(axis=1), np.nan),
        np.where(some, chi2.sf(statistic, max(1, present.sum() - 1)), np.nan),
    )

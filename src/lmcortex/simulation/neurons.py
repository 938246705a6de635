"""Planted sub-groups of neurons, each of which drives a region, and what was recovered of them.

The largest pseudo-model of a dataset with ``planted.neurons`` also has neurons, in layers 1, 2, ...
A neuron belongs to one sub-group. Those of region g say ``share * latent + sqrt(1 - share**2) *
noise`` with the region's latent, the share of their layer as in `lmcortex.simulation.planted` and
noise of their own; so the region is driven by the mean of its sub-group. Idle sub-groups follow
latents that no region does.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmcortex.networks.atoms import MAIN
from lmcortex.networks.groups import NOBODY, hard_groups
from lmcortex.networks.labels import SIGNS
from lmcortex.networks.maps import RIDGE
from lmcortex.seeds import generator
from lmcortex.simulation.planted import Run, draw, parse, share
from lmcortex.simulation.recovery import BOTH, COLUMNS

NEAR = 0.2  # of the planted value: what has no interval is recovered if it is no farther from it
ACTIVE = SIGNS[0]

Settings = Mapping[str, Any]
Row = dict[str, Any]


def planted_neurons(
    latents: np.ndarray, regions: Sequence[str], runs: Sequence[Run], spec: Settings
) -> list[np.ndarray]:
    """Compute what the neurons of a pseudo-model say to each word.

    Parameters
    ----------
    latents : (n_words, n_regions), one for each region.
    regions : (n_regions,) region of each latent.
    spec : ``model`` (planted-{n_params}), ``checkpoint`` (step{N} or main) and ``planted``, with
        ``neurons``.

    Returns
    -------
    One float32 array (n_words, n_neurons) for each of layers 1, 2, ...; the sub-group of each
    column is that of `sub_groups`.
    """
    planted, model = spec["planted"], spec["model"]
    n_params, step = parse(model, spec["checkpoint"])
    idle = draw(runs, planted["neurons"]["idle"], generator("idle", model), beside=latents)
    followed = np.hstack([latents, idle])
    # Idle sub-groups have no region that says when they learn: they have learnt all along.
    shares = [share(planted, n_params, step, region) for region in regions]
    shares += [share(planted, n_params, None, "")] * idle.shape[1]
    layers = []
    for layer in range(1, len(planted["layers"])):
        noise = generator("neurons", model, layer).standard_normal(
            (len(latents), followed.shape[1] * planted["neurons"]["size"])
        )
        for run in runs:
            noise[run.rows] /= (run.operator @ noise[run.rows]).std(axis=0)
        groups = np.arange(noise.shape[1]) % followed.shape[1]
        carried = np.array([of_layer[layer] for of_layer in shares])[groups]
        said = carried * followed[:, groups] + np.sqrt(1 - carried**2) * noise
        layers.append(said.astype(np.float32))
    return layers


def sub_groups(n_neurons: int, n_groups: int) -> np.ndarray:
    """Return the sub-group of each neuron of all layers: the regions' in their order, then idle."""
    return np.arange(n_neurons) % n_groups


def recover_groups(
    labels: pd.DataFrame, weights: Mapping[str, np.ndarray], spec: Settings
) -> pd.DataFrame:
    """Compare planted sub-groups, and the networks that they drive, with what atoms say.

    A sub-group's atom is the one whose hard sub-group holds most of it, no atom for two of them.

    Parameters
    ----------
    labels : the study's table `network_labels`.
    weights : (n_atoms, n_neurons) main atoms of each dataset's pseudo-model.
    spec : ``networks``, model and checkpoint of each dataset's pseudo-model; ``datasets``, see
        `lmcortex.simulation.recovery.recover`.

    Returns
    -------
    Rows of `truth_recovery`, by network: ``match_rate``, the share of its sub-group that the atom's
    hard sub-group holds; ``network_dice``, of the active part of the atom's map by ridge with the
    network (the region's other networks belong to the part too); ``network``, 1 if the atom is
    associated with the network. The first two have no interval; they are inside if within a fifth
    of the planted value.
    """
    rows: list[Row] = []
    for dataset, run in sorted(spec["networks"].items()):
        here = labels[(labels["atom_set"] == MAIN) & (labels["encoder"] == RIDGE)]
        for key, value in {"dataset": dataset, **run, "sign": ACTIVE}.items():
            here = here[here[key] == value]
        settings = spec["datasets"][dataset]
        known = {"dataset": dataset, "fit": RIDGE, "model": run["model"]}
        rows += [{**known, **row} for row in _rows(here, weights[dataset], settings)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(labels: pd.DataFrame, weights: np.ndarray, settings: Settings) -> Iterator[Row]:
    regions = sorted(settings["regions"])
    n_groups = len(regions) + settings["planted"]["neurons"]["idle"]
    atoms, rates = match_atoms(weights, n_groups)
    for group, region in enumerate(regions):
        rois = sorted(settings["regions"][region])
        for roi in rois:
            place = {"subject": "average", "roi": roi, "hemisphere": BOTH}
            atom = int(atoms[group])
            own = labels[(labels["atom"] == atom) & (labels["network"] == roi)]
            dice, associated = float(own["dice"].sum()), float(own["associated"].sum())
            planted_dice = 2 / (1 + len(rois))
            note = f"atom {atom}" if atom != NOBODY else "no atom is left for this sub-group"
            yield place | _without_interval("match_rate", 1.0, rates[group], "share", note)
            yield place | _without_interval("network_dice", planted_dice, dice, "Dice", note)
            yield place | {
                "effect": "network",
                "planted": 1.0,
                **dict.fromkeys(("recovered", "ci_low", "ci_high"), associated),
                "inside": associated == 1,
                "unit": "1: associated",
                "note": note,
            }


def match_atoms(weights: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Pair planted sub-groups with the hard sub-groups of atoms, so that most neurons agree.

    Returns
    -------
    atoms : (n_groups,) atom of each; -1 where there are fewer atoms than sub-groups.
    rates : (n_groups,) share of the planted sub-group's neurons that are in it.
    """
    from scipy.optimize import linear_sum_assignment

    n_atoms, n_neurons = weights.shape
    owners, found = sub_groups(n_neurons, n_groups), hard_groups(weights)
    counts = np.zeros((n_groups, n_atoms))
    np.add.at(counts, (owners[found != NOBODY], found[found != NOBODY]), 1)
    shares = counts / np.bincount(owners, minlength=n_groups)[:, None]
    atoms, rates = np.full(n_groups, NOBODY), np.zeros(n_groups)
    groups, chosen = linear_sum_assignment(counts, maximize=True)
    atoms[groups], rates[groups] = chosen, shares[groups, chosen]
    return atoms, rates


def _without_interval(effect: str, planted: float, recovered: float, unit: str, note: str) -> Row:
    return {
        "effect": effect,
        "planted": planted,
        "recovered": float(recovered),
        "ci_low": np.nan,
        "ci_high": np.nan,
        "inside": bool(abs(recovered - planted) <= NEAR * planted),
        "unit": unit,
        "note": note,
    }

"""How the atoms of a checkpoint share the brain's networks among them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lmcortex.inference import permutation_p
from lmcortex.networks.labels import SIGNS, pairwise_dice

ALL = "all"  # in place of a network or a sign
LEAST_ATOMS = 2  # of a network, for which consistency is defined


class Fact(NamedTuple):
    """One number.

    `expected` and `p` are of as many atoms drawn at random, `ci_low` and `ci_high` hold 95 %; NaN
    without a null, or an interval.
    """

    sign: str
    network: str
    measure: str
    value: float
    expected: float = np.nan
    p: float = np.nan
    n: int = 0
    ci_low: float = np.nan
    ci_high: float = np.nan


def effective_number(counts: np.ndarray) -> float:
    """Return exp(entropy) of the shares of `counts`; 0 when there is nothing."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def describe(
    atoms: np.ndarray,
    parts: np.ndarray,
    labels: np.ndarray,
    names: list[str],
    n_draws: int,
    rng: np.random.Generator,
) -> Iterator[Fact]:
    """Yield what is to say of the organization of one set of atoms.

    The definitions are defaults: the paper's formulas are not known.

    Parameters
    ----------
    atoms : (n_samples, n_atoms) z-scored.
    parts : bool (2, n_atoms, n_targets) of the maps, by sign.
    labels : bool (2, n_atoms, n_networks): which atoms are associated with which network.
    names : (n_networks,).
    n_draws : of random atoms, as many as a network has, for the null of its consistency.

    Yields
    ------
    For each sign and network: ``atoms``; with two atoms or more, ``temporal consistency`` (mean
    Pearson r of their time courses) and ``spatial consistency`` (mean Dice of their maps' parts).
    For each sign, and with sign ``all`` for both parts together: ``networks`` (with an atom at
    least), ``effective networks`` (exp of the entropy of atoms over networks), ``atoms per
    network`` (of networks with any) and ``labelled share`` (of atoms).
    Over all: ``temporal diversity`` (1 - mean |r| of any two atoms), and each consistency as the
    mean over networks and signs.
    """
    r = atoms.T @ atoms / len(atoms)
    similarities = {"temporal consistency": [r, r]}
    similarities["spatial consistency"] = [pairwise_dice(part) for part in parts]
    found: dict[str, list[Fact]] = {measure: [] for measure in similarities}
    draws: dict[int, np.ndarray] = {}
    for sign, name in enumerate(SIGNS):
        for network, label in enumerate(names):
            members = np.flatnonzero(labels[sign, :, network])
            yield Fact(name, label, "atoms", len(members), n=len(members))
            m = len(members)
            if m >= LEAST_ATOMS:
                draws.setdefault(m, random_members(len(r), m, n_draws, rng))
                for measure, values in similarities.items():
                    fact = consistency(values[sign], members, draws[m])
                    fact = fact._replace(sign=name, network=label, measure=measure)
                    found[measure].append(fact)
                    yield fact
        yield from counts_of(name, labels[sign])
    yield from counts_of(ALL, np.any(labels, axis=0))
    for measure, facts in found.items():
        if facts:
            means = [float(np.mean([getattr(fact, key) for fact in facts]))
                     for key in ("value", "expected")]  # fmt: skip
            yield Fact(ALL, ALL, measure, *means, n=len(facts))
    upper = np.triu_indices(len(r), 1)
    yield Fact(ALL, ALL, "temporal diversity", float(1 - np.abs(r[upper]).mean()), n=len(r))


def counts_of(sign: str, labels: np.ndarray) -> Iterator[Fact]:
    """Yield counts of labels (n_atoms, n_networks)."""
    counts = labels.sum(axis=0)
    involved = int((counts > 0).sum())
    n = int(counts.sum())
    yield Fact(sign, ALL, "networks", involved, n=n)
    yield Fact(sign, ALL, "effective networks", effective_number(counts), n=n)
    if involved:
        yield Fact(sign, ALL, "atoms per network", n / involved, n=n)
    yield Fact(sign, ALL, "labelled share", float(np.mean(labels.any(axis=1))), n=len(labels))


def random_members(n: int, m: int, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `m` of `n` atoms, over and over: (n_draws, n) of ones and zeros."""
    return (rng.random((n_draws, n)).argsort(axis=1) < m).astype(float)


def consistency(similarity: np.ndarray, members: np.ndarray, drawn: np.ndarray) -> Fact:
    """Compare the mean similarity of some atoms with that of as many drawn at random.

    Parameters
    ----------
    similarity : (n_atoms, n_atoms), symmetric.
    members : numbers of two atoms or more.
    drawn : (n_draws, n_atoms) from `random_members`.
    """
    m = len(members)
    own = np.diag(similarity)

    def mean_of(chosen: np.ndarray) -> np.ndarray:
        pairs = ((chosen @ similarity) * chosen).sum(axis=1) - chosen @ own
        return pairs / (m * (m - 1))

    null = mean_of(drawn)
    value = float(mean_of(np.isin(np.arange(len(own)), members)[None].astype(float))[0])
    return Fact("", "", "", value, float(null.mean()), permutation_p(value, null), m)

"""The maps of a group of subjects, tested against phase-randomised atoms, and their networks."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lmcortex.inference import benjamini_hochberg
from lmcortex.networks import labels
from lmcortex.networks.atlases import Atlas
from lmcortex.networks.maps import BEYOND_RATE, ENCODERS, RIDGE, SPARSE, ridge_operator, without
from lmcortex.networks.organization import ALL, Fact, describe
from lmcortex.networks.surrogates import phase_randomised
from lmcortex.seeds import generator

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

AVERAGE = "average"  # the mean response is mapped too, but is no member of the group
BLOCK_BYTES = 5e8  # of the maps of surrogates that are summed over subjects at once
N_SPLITS = 100
TESTED = (
    RIDGE,
    BEYOND_RATE,
)  # the sparse encoder would need a solver call per target and surrogate

Read = Callable[[], Iterator[np.ndarray]]


class Group(NamedTuple):
    """The maps of a set of atoms over subjects.

    Attributes
    ----------
    weights : (n_subjects, n_atoms, n_targets).
    maps : (n_atoms, n_targets), t over subjects; the weights of a single one.
    parts : of the maps, see `labels.split_map`.
    dice : (2, n_atoms, n_networks).
    strength : (2, n_atoms, n_networks) mean of the maps over a network's targets, and minus it.
    p, p_strength : the same shape, of phase-randomised atoms; NaN where there is no null.
    p_family : p of strength against the largest of all atoms, signs and networks of an atlas in a
        surrogate.
    """

    weights: np.ndarray
    maps: np.ndarray
    parts: labels.Parts
    dice: np.ndarray
    strength: np.ndarray
    p: np.ndarray
    p_strength: np.ndarray
    p_family: np.ndarray


def ridge_weights(atoms: Sequence[np.ndarray], read: Read, penalty: float) -> Iterator[np.ndarray]:
    """Yield each subject's ridge maps of several sets of atoms with the same correlations.

    Parameters
    ----------
    atoms : (n_samples, n_atoms) each.
    read : returns the subjects' responses (n_samples, n_targets), one after the other.
    penalty : in multiples of the number of samples.

    Yields
    ------
    (n_sets, n_atoms, n_targets).
    """
    operator = ridge_operator(atoms[0].T @ atoms[0], penalty * len(atoms[0]))
    stacked = np.concatenate([operator @ one.T for one in atoms])
    for responses in read():
        yield (stacked @ responses).reshape(len(atoms), len(operator), -1)


def group_maps(weights: Iterator[np.ndarray]) -> np.ndarray:
    """Return t over subjects of weights that come one subject at a time; of one, the weights."""
    total = squares = np.zeros(())
    n = 0
    for n, values in enumerate(weights, start=1):  # noqa: B007
        total, squares = total + values, squares + values**2
    return labels.t_statistics(total, squares, n) if n > 1 else total


def tested_group(
    atoms: np.ndarray,
    runs: np.ndarray,
    read: Read,
    penalty: float,
    networks: np.ndarray,
    families: np.ndarray,
    spec: Mapping[str, Any],
    rng: np.random.Generator,
) -> Group:
    """Map atoms by ridge over a group, and compare their overlap with networks with chance.

    Chance is the whole procedure with phase-randomised atoms, thresholds included: p is
    (k + 1) / (n + 1) for k of n surrogates with as large a Dice coefficient, or strength. The t
    over subjects alone does not tell: listeners share a response, with which any time course
    correlates a little, in all of them alike.

    Parameters
    ----------
    atoms : (n_samples, n_atoms), z-scored.
    runs : (n_samples,).
    read, penalty : as for `ridge_weights`.
    networks : bool (n_networks, n_targets).
    families : (n_networks,) the atlas that each is of.
    spec : ``n_null``, ``level`` of the false discovery rate, ``top_share``.
    """
    weights = np.stack([values[0] for values in ridge_weights([atoms], read, penalty)])
    n_subjects = len(weights)
    maps = group_maps(iter(weights))
    parts = labels.split_map(maps, n_subjects, spec["level"], spec["top_share"])
    covered = covered_by(networks, families)
    observed = labels.dice(parts.inside, networks, covered)
    strong = strengths(maps, networks)
    reached, stronger, strongest = (np.zeros(observed.shape, dtype=np.int64) for _ in range(3))
    size = max(1, int(BLOCK_BYTES / (8 * maps.size)))
    for start in range(0, spec["n_null"], size):
        block = range(start, min(start + size, spec["n_null"]))
        drawn = [phase_randomised(atoms, runs, rng) for _ in block]
        for null_maps in group_maps(ridge_weights(drawn, read, penalty)):
            null = labels.split_map(null_maps, n_subjects, spec["level"], spec["top_share"])
            reached += labels.dice(null.inside, networks, covered) >= observed - 1e-9
            drawn_strength = strengths(null_maps, networks)
            stronger += drawn_strength >= strong
            strongest += largest(drawn_strength, families) >= strong
    counts = (reached, stronger, strongest)
    chances = ((count + 1) / (spec["n_null"] + 1) for count in counts)
    return Group(weights, maps, parts, observed, strong, *chances)


def strengths(maps: np.ndarray, networks: np.ndarray) -> np.ndarray:
    """Return the mean of maps (n_atoms, n_targets) over each network, by sign: see `Group`."""
    mean = maps @ (networks / networks.sum(axis=1, keepdims=True)).T
    return np.stack([mean, -mean])


def covered_by(networks: np.ndarray, families: np.ndarray) -> np.ndarray:
    """Return the targets of the atlas of each network: bool (n_networks, n_targets)."""
    return np.array([networks[families == family].any(axis=0) for family in families])


def largest(strength: np.ndarray, families: np.ndarray) -> np.ndarray:
    """Return for each network the largest strength (2, n_atoms, n_networks) of its family."""
    of_network = strength.max(axis=(0, 1))
    return np.array([of_network[families == family].max() for family in families])


def of_atlas(group: Group, columns: slice) -> Group:
    """Return what a group says of some of its networks."""
    by_network = ("dice", "strength", "p", "p_strength", "p_family")
    return group._replace(**{name: getattr(group, name)[..., columns] for name in by_network})


def sparse_group(
    weights: np.ndarray, networks: np.ndarray, families: np.ndarray, spec: Mapping[str, Any]
) -> Group:
    """Describe the sparse maps of subjects (n_subjects, n_atoms, n_targets), without a null."""
    maps = group_maps(iter(weights))
    parts = labels.split_map(maps, len(weights), spec["level"], spec["top_share"])
    found = labels.dice(parts.inside, networks, covered_by(networks, families))
    none = np.full(found.shape, np.nan)
    return Group(weights, maps, parts, found, strengths(maps, networks), none, none, none)


def associated(group: Group, spec: Mapping[str, Any]) -> np.ndarray:
    """Return which atoms are associated with which network: bool (2, n_atoms, n_networks).

    Dice of `spec["dice"]` at least and p below `spec["level"]`; by Dice alone without a null.
    """
    by_chance = group.p >= spec["level"]
    return (group.dice >= spec["dice"]) & ~by_chance


def label_table(
    group: Group, names: list[str], networks: np.ndarray, spec: Mapping[str, Any]
) -> "pd.DataFrame":
    """Lay out one row per atom, sign and network.

    Returns
    -------
    Columns atom, sign, network, n_part and n_network (targets of the atlas), dice, p, q
    (Benjamini-Hochberg over all rows), p_bonferroni, strength, p_strength, p_family, survived
    (the part passes the false discovery rate), associated, headline (the largest Dice of the
    atom among its associations), and weight with low and high: the mean weight over the
    network's targets, and its 95 % interval over subjects (Student's t).
    """
    import pandas as pd

    index = pd.MultiIndex.from_product(
        [labels.SIGNS, range(len(group.maps)), names], names=["sign", "atom", "network"]
    )
    found = associated(group, spec)
    best = np.where(found, group.dice, 0).max(axis=(0, 2), keepdims=True)
    means, low, high = weight_intervals(group.weights, networks)
    shape = group.dice.shape
    in_atlas = group.parts.inside[..., networks.any(axis=0)].sum(axis=2)
    columns = {
        "n_part": np.broadcast_to(in_atlas[..., None], shape),
        "n_network": np.broadcast_to(networks.sum(axis=1), shape),
        "dice": group.dice.astype(float),
        "p": group.p,
        "q": benjamini_hochberg(group.p.ravel()),
        "p_bonferroni": np.minimum(group.p * group.p.size, 1),
        "strength": group.strength,
        "p_strength": group.p_strength,
        "p_family": group.p_family,
        "survived": np.broadcast_to(group.parts.survived[:, None], shape),
        "associated": found,
        "headline": found & (group.dice == best),
        **{
            name: np.broadcast_to(values, shape)
            for name, values in (("weight", means), ("low", low), ("high", high))
        },
    }
    return pd.DataFrame(
        {name: values.ravel() for name, values in columns.items()}, index
    ).reset_index()


def weight_intervals(
    weights: np.ndarray, networks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, low and high (n_atoms, n_networks) of networks' mean weights over subjects."""
    return mean_interval(weights @ (networks / networks.sum(axis=1, keepdims=True)).T)


def mean_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean over subjects (n_subjects, ...) and its 95 % interval; NaN for one."""
    from scipy.stats import t as distribution

    mean, n = values.mean(axis=0), len(values)
    if n < 2:
        return mean, np.full(mean.shape, np.nan), np.full(mean.shape, np.nan)
    margin = distribution.isf(0.025, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean, mean - margin, mean + margin


def split_half(weights: np.ndarray, top_share: float, rng: np.random.Generator) -> np.ndarray:
    """Return how alike each atom's maps of two halves of the subjects are.

    Parameters
    ----------
    weights : (n_subjects, n_atoms, n_targets).

    Returns
    -------
    (n_atoms,) mean Dice coefficient of the parts of the two maps' strongest targets, over both
    signs and 100 random splits; NaN for fewer than four subjects.
    """
    n_subjects, n_atoms, _ = weights.shape
    if n_subjects < 4:
        return np.full(n_atoms, np.nan)
    total = np.zeros(n_atoms)
    for _ in range(N_SPLITS):
        order = rng.permutation(n_subjects)
        halves = [order[: n_subjects // 2], order[n_subjects // 2 :]]
        one, other = (
            labels.split_map(group_maps(iter(weights[half])), 1, 1.0, top_share).inside
            for half in halves
        )
        sizes = one.sum(axis=(0, 2)) + other.sum(axis=(0, 2))
        total += 2 * (one & other).sum(axis=(0, 2)) / np.where(sizes, sizes, 1)
    return total / N_SPLITS


class Labelled(NamedTuple):
    """What `label_set` finds of one set of atoms.

    Attributes
    ----------
    labels : see `label_table`, and the columns encoder and atlas.
    facts : see `lmcortex.networks.organization.describe`, with the columns encoder and atlas.
    groups : by encoder.
    split_half : (n_atoms,), of the ridge maps.
    atlas : name of the first atlas, which figures of maps show.
    """

    labels: "pd.DataFrame"
    facts: "pd.DataFrame"
    groups: dict[str, Group]
    split_half: np.ndarray
    atlas: str


def label_set(
    name: str,
    atoms: np.ndarray,
    maps: "xr.Dataset",
    read: Read,
    runs: np.ndarray,
    rate: np.ndarray,
    atlases: Sequence[Atlas],
    spec: Mapping[str, Any],
) -> Labelled:
    """Label one set of atoms by every encoder, with the networks of every atlas.

    Parameters
    ----------
    name : of the set.
    atoms : (n_samples, n_atoms), z-scored.
    maps : what `map_atoms` found for all subjects, side by side along ``target``.
    read : returns the subjects' responses, one after the other.
    runs : (n_samples,).
    rate : (n_samples, 1) word rate.
    atlases : of one subject's targets.
    spec : ``n_null``, ``level``, ``top_share``, ``dice``, ``n_draws``.
    """
    import pandas as pd

    subjects = maps["subject"].to_numpy()
    members = members_of(subjects)
    networks = np.concatenate([atlas.inside for atlas in atlases])
    sizes = [len(atlas.networks) for atlas in atlases]
    ends = np.cumsum(sizes).tolist()
    families = np.repeat(range(len(atlases)), sizes)
    groups, tables, facts = {}, [], []
    for row, encoder in enumerate(ENCODERS):
        of_encoder = maps.isel(encoder=row)
        if encoder == SPARSE:
            weights = of_encoder[f"weights {name}"].to_numpy()
            weights = np.stack([weights[:, subjects == subject] for subject in members])
            group = sparse_group(weights, networks, families, spec)
        else:
            chosen = of_encoder[f"penalty {name}"].to_numpy()[np.isin(subjects, members)]
            penalty = float(np.median(chosen))
            beyond = encoder == BEYOND_RATE
            seen = without(rate, atoms, runs) if beyond else atoms
            source = beyond_rate(read, rate, runs) if beyond else read
            rng = generator("phase", name, encoder)
            group = tested_group(seen, runs, source, penalty, networks, families, spec, rng)
        groups[encoder] = group
        known = {"encoder": encoder, "atlas": ALL}
        facts += [{**fact._asdict(), **known} for fact in explained(of_encoder, name)]
        for atlas, start, end in zip(atlases, [0, *ends], ends, strict=False):
            own, known = of_atlas(group, slice(start, end)), known | {"atlas": atlas.name}
            table = label_table(own, atlas.networks, atlas.inside, spec)
            tables.append(table.assign(**known))
            rng = generator("organization", name, encoder)
            found, parts = associated(own, spec), group.parts.inside
            described = describe(atoms, parts, found, atlas.networks, spec["n_draws"], rng)
            facts += [{**fact._asdict(), **known} for fact in described]
    halves = split_half(groups[RIDGE].weights, spec["top_share"], generator("halves", name))
    average = Fact(ALL, ALL, "split-half Dice", float(np.mean(halves)), n=len(halves))
    facts.append({**average._asdict(), "encoder": RIDGE, "atlas": ALL})
    joined = pd.concat(tables, ignore_index=True)
    return Labelled(joined, pd.DataFrame(facts), groups, halves, atlases[0].name)


def first_member(maps: "xr.Dataset") -> "xr.Dataset":
    """Return the maps of one member; its targets are those of all."""
    subjects = maps["subject"].to_numpy()
    return maps.isel(target=np.flatnonzero(subjects == members_of(subjects)[0]))


def members_of(subjects: np.ndarray) -> list[str]:
    """Return the subjects of the group, in their order: all but the mean response."""
    labels_of = list(dict.fromkeys(subjects.tolist()))
    return [subject for subject in labels_of if subject != AVERAGE] or labels_of


def beyond_rate(read: Read, rate: np.ndarray, runs: np.ndarray) -> Read:
    return lambda: (without(rate, responses, runs) for responses in read())


def explained(maps: "xr.Dataset", name: str) -> Iterator[Fact]:
    """Yield how much of the responses atoms explain, of subjects and of their mean response.

    The interval of the mean over subjects is Student's t, of each subject's mean over targets.
    """
    subjects = maps["subject"].to_numpy()
    people = [subject for subject in dict.fromkeys(subjects.tolist()) if subject != AVERAGE]
    average = subjects == AVERAGE
    for key, measure in (("r2_in", "in-sample R2"), ("r2_cv", "cross-validated R2")):
        values = maps[f"{key} {name}"].to_numpy().astype(float)
        for who, here in (("subjects", ~average), ("mean response", average)):
            if here.any():
                n = int(here.sum())
                fact = Fact(ALL, ALL, f"{measure}, {who}", float(values[here].mean()), n=n)
                if who == "subjects":
                    own = np.array([values[subjects == subject].mean() for subject in people])
                    _, low, high = mean_interval(own)
                    fact = fact._replace(ci_low=float(low), ci_high=float(high))
                yield fact
                yield Fact(ALL, ALL, f"largest {measure}, {who}", float(values[here].max()), n=n)


def label_atoms(
    sets: Mapping[str, np.ndarray],
    maps: "xr.Dataset",
    read: Read,
    runs: np.ndarray,
    rate: np.ndarray,
    atlases: Sequence[Atlas],
    spec: Mapping[str, Any],
) -> dict[str, Labelled]:
    """Label every set of atoms of a checkpoint; the parameters are those of `label_set`."""
    from tqdm import tqdm

    return {
        name: label_set(name, atoms, maps, read, runs, rate, atlases, spec)
        for name, atoms in tqdm(sets.items(), unit="set", file=sys.stderr)
    }

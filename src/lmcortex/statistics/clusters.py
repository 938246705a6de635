"""Clusters of a few points, for thousands of small problems at once: null distributions need them.

Every function takes points (problems x points x dimensions) or labels (problems x points), int.
"""

import numpy as np

PROBLEMS = 16  # clustered at once, so that their arrays stay in the processor's cache
MOST_CLUSTERS = 5
REFERENCES = 50  # sets of points without clusters, for the gap


def two_means(points: np.ndarray) -> np.ndarray:
    """Cut points in a plane into the two clusters (0, 1) with the least squared distances to means.

    The best of all cuts, not of some random starts: a line parts the two clusters, and as a line
    turns, the order of the points across it changes only where it runs parallel to two of them.
    """
    parts = [points[at : at + PROBLEMS] for at in range(0, len(points), PROBLEMS)]
    return np.concatenate([_two_means(part) for part in parts])


def _two_means(points: np.ndarray) -> np.ndarray:
    n_problems, n_points, _ = points.shape
    problem = np.arange(n_problems)
    points = points - points.mean(axis=1, keepdims=True)
    first, second = np.triu_indices(n_points, 1)
    x, y = np.moveaxis(points[:, first] - points[:, second], -1, 0)
    turns = np.sort(np.arctan2(y, x) % np.pi, axis=1)
    across = (turns + np.append(turns[:, 1:], turns[:, :1] + np.pi, axis=1)) / 2 + np.pi / 2
    order = np.einsum("dpl,pnd->pln", [np.cos(across), np.sin(across)], points).argsort(axis=-1)
    sums = points[problem[:, None, None], order[..., :-1]].cumsum(axis=2)
    size = np.arange(1, n_points)
    # The squared distances that a cut saves, by the sum of the centred points on one side of it.
    saved = (sums**2).sum(axis=-1) * (1 / size + 1 / (n_points - size))
    line, last = np.divmod(saved.reshape(n_problems, -1).argmax(axis=1), n_points - 1)
    rank = order[problem, line].argsort(axis=-1)
    return (rank > last[:, None]).astype(int)


def ward(points: np.ndarray, most: int) -> np.ndarray:
    """Cut Ward's tree, which joins the clusters whose squared distances grow least.

    Returns
    -------
    Labels (most x problems x points), int from 0: of one cluster, of two, ... of `most`.
    """
    from scipy.cluster.hierarchy import linkage

    n_problems, n_points, _ = points.shape
    joins = np.stack([linkage(each, "ward")[:, :2] for each in points]).astype(int)
    members = np.tile(np.arange(n_points), (n_problems, 1))
    cuts = {n_points: members}
    for place in range(n_points - 1):
        joined = (members[..., None] == joins[:, place, None]).any(axis=-1)
        members = np.where(joined, n_points + place, members)
        cuts[n_points - 1 - place] = members
    return np.stack([numbered(cuts[k]) for k in range(1, most + 1)])


def numbered(names: np.ndarray) -> np.ndarray:
    """Number the clusters of each problem from 0, in the order of their first points."""
    first = (names[:, :, None] == names[:, None]).argmax(axis=-1)
    starts = first == np.arange(names.shape[1])
    return np.take_along_axis(starts.cumsum(axis=1) - 1, first, axis=1)


def choose_n_clusters(
    points: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose each problem's number of Ward's clusters, at most `MOST_CLUSTERS`, by two criteria.

    Returns
    -------
    by_silhouette : int (problems,), from 2 on: the number with the highest mean silhouette.
    by_gap : int (problems,), from 1 on: the smallest number whose gap is within one standard error
        of the largest gap. The gap is that between the log spread within clusters of the points,
        and of points drawn evenly from the box along their principal axes (Tibshirani et al. 2001,
        J. R. Stat. Soc. B 63:411; with the rule of Dudoit & Fridlyand 2002, Genome Biol. 3:7).
    """
    references = box_references(points, rng)
    most = min(MOST_CLUSTERS, points.shape[1] - 1)
    separation, gaps, errors = [], [], []
    for labels, drawn_labels in zip(ward(points, most), ward(references, most), strict=True):
        drawn = log_spread(references, drawn_labels).reshape(len(points), REFERENCES)
        separation.append(silhouettes(points, labels))
        gaps.append(drawn.mean(axis=1) - log_spread(points, labels))
        errors.append(drawn.std(axis=1) * np.sqrt(1 + 1 / REFERENCES))
    gap, error = np.array(gaps), np.array(errors)
    largest = gap.argmax(axis=0)
    enough = np.diagonal((gap - error)[largest])
    by_silhouette = 2 + np.nan_to_num(separation[1:], nan=-1.0).argmax(axis=0)
    return by_silhouette, 1 + (gap >= enough).argmax(axis=0)


def box_references(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw `REFERENCES` sets of points for each problem, evenly from the box around its own."""
    axes = np.linalg.svd(points - points.mean(axis=1, keepdims=True), full_matrices=False)[2]
    along = points @ axes.transpose(0, 2, 1)
    low, high = (end(axis=1)[:, None, None] for end in (along.min, along.max))
    shares = rng.random((len(points), REFERENCES, points.shape[1], along.shape[-1]))
    return ((low + (high - low) * shares) @ axes[:, None]).reshape(-1, *points.shape[1:])


def log_spread(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the log of the summed squared distances to the clusters' means (problems,)."""
    member = (labels[..., None] == np.arange(labels.max() + 1)).astype(float)
    means = np.einsum("pnk,pnd->pkd", member, points)
    means /= np.maximum(member.sum(axis=1), 1)[..., None]
    offsets = points - np.einsum("pnk,pkd->pnd", member, means)
    return np.log(np.maximum((offsets**2).sum(axis=(1, 2)), np.finfo(float).tiny))


def silhouettes(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean silhouette of each problem (problems,); NaN with a single cluster.

    A point alone in its cluster counts 0 (Rousseeuw 1987, J. Comput. Appl. Math. 20:53).
    """
    distances = np.sqrt(((points[:, :, None] - points[:, None]) ** 2).sum(axis=-1))
    member = labels[..., None] == np.arange(labels.max() + 1)
    size = member.sum(axis=1)[:, None]
    sums = distances @ member
    own_size = np.where(member, size, 0).sum(axis=-1)
    own = np.where(member, sums, 0).sum(axis=-1) / np.maximum(own_size - 1, 1)
    other = np.where(member | (size == 0), np.inf, sums / np.maximum(size, 1)).min(axis=-1)
    larger = np.maximum(own, other)
    undefined = (own_size == 1) | (larger == 0)
    single = np.isinf(other).any(axis=1)
    other = np.where(single[:, None], np.nan, other)
    return np.where(undefined, 0.0, (other - own) / np.where(undefined, 1.0, larger)).mean(axis=1)


def adjusted_rand(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the adjusted Rand index of labels over their last axis.

    1 for the same clusters, 0 on average for unrelated ones (Hubert & Arabie 1985, J. Classif.
    2:193).
    """
    first, second = np.triu_indices(one.shape[-1], 1)
    together, together_other = (
        labels[..., first] == labels[..., second] for labels in (one, other)
    )
    both = (together & together_other).sum(axis=-1)
    n_one, n_other = together.sum(axis=-1), together_other.sum(axis=-1)
    expected = n_one * n_other / len(first)
    highest = (n_one + n_other) / 2
    trivial = highest == expected  # one cluster only in both, or as many as there are points
    return np.where(trivial, 1.0, (both - expected) / np.where(trivial, 1.0, highest - expected))

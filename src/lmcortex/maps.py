"""Maps of voxels: nested scores, left against right and slopes, as NIfTI images in MNI space."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel import nifti1
from nibabel.nifti1 import Nifti1Image

from lmcortex import storage
from lmcortex.errors import InputError
from lmcortex.homologues import MIDLINE
from lmcortex.inference import benjamini_hochberg
from lmcortex.scores.regions import AVERAGE, GROUP, choose_layers

AXES = ["x", "y", "z"]
TOLERANCE = 0.01  # of a voxel's edge, by which a place may miss the grid
MOST_PLANES = 1000  # of a brain along an axis: 0.2 mm


# --- from fits to voxels --------------------------------------------------------------------------


def nested_scores(files: Sequence[str], subject: str, layer_choice: str) -> pd.DataFrame:
    """Return the nested score of every target of a subject, or its mean over subjects.

    In each outer fold all targets have the layer with the best mean inner r over all of them, as
    the ROI `all` has in the table of scores, so that the mean of a map is the score of that ROI.
    The score is the mean test r over folds.

    Parameters
    ----------
    files : encoding files of one cell, which differ in their layers, or in their subjects.
    subject : a label; or `group`, the mean over all subjects but `average`.
    layer_choice : `nested`; or `test`, by which each target has the layer with the best test r.

    Returns
    -------
    One row per target: ``target``, ``x``, ``y``, ``z`` (mm), ``r``.
    """
    blocks: dict[str, list[str]] = {}
    for file in files:
        blocks.setdefault(Path(file).name, []).append(file)  # of the same subjects, other layers
    rows = pd.concat([_score_block(block, layer_choice) for block in blocks.values()])
    if subject == GROUP:
        return _group_mean(rows[rows["subject"] != AVERAGE])
    return rows[rows["subject"] == subject].drop(columns="subject").reset_index(drop=True)


def _group_mean(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean r of each target over subjects, who must have the same targets."""
    n_subjects = rows["subject"].nunique()
    targets = rows.groupby("target", sort=False)
    spread = targets[AXES].max() - targets[AXES].min()
    differ = (targets.size() != n_subjects) | (spread > TOLERANCE).any(axis=1)
    if differ.any():
        raise InputError(
            f"target {differ.idxmax()}: not in the same place in all {n_subjects} subjects; "
            "resample their images to one grid"
        )
    return targets.agg({**dict.fromkeys(AXES, "first"), "r": "mean"}).reset_index()


def _score_block(files: Sequence[str], layer_choice: str) -> pd.DataFrame:
    """Score each target of each subject of files that differ in their layers alone."""
    fits = []
    for file in files:
        with storage.open_dataset(file) as fit:
            fits.append(fit[["r_test", "r_inner"]].load())
    r_test, r_inner = (
        np.concatenate([fit[name].to_numpy() for fit in fits]) for name in ("r_test", "r_inner")
    )
    targets = pd.DataFrame(
        {name: fits[0][name].to_numpy() for name in ("subject", "target", *AXES)}
    )
    r = np.empty(len(targets))
    for own in targets.groupby("subject").indices.values():
        choice = choose_layers(r_inner[..., own], r_test[..., own], layer_choice)
        r[own] = np.take_along_axis(r_test[..., own], choice[None], axis=0)[0].mean(axis=0)
    return targets.assign(r=r)


# --- images ---------------------------------------------------------------------------------------


def as_image(values: np.ndarray, places: np.ndarray) -> Nifti1Image:
    """Return values at places as an image on the regular grid that the places lie on.

    Parameters
    ----------
    values : (n,), one for each place; two of the same place (a voxel of two ROIs) are the same.
    places : (n, 3) centres of voxels, mm.

    Returns
    -------
    float32 image, NaN where there is no place, with a margin of one voxel on every side. The axes
    run to the right, to the front and upwards.

    Raises
    ------
    InputError : places that are not known, or not those of a grid along the axes.
    """
    if not np.isfinite(places).all():
        raise InputError(
            "a target without x, y, z has no place in a map; give the places of all targets, or "
            "leave `voxelwise` out of the dataset file"
        )
    axes = [_grid_axis(places[:, axis], name) for axis, name in enumerate("xyz")]
    origin, steps, index = (np.array(part) for part in zip(*axes, strict=True))
    data = np.full(index.max(axis=1) + 2, np.nan, np.float32)
    data[tuple(index)] = values
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = origin
    image = Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, "mni")
    image.set_qform(affine, "mni")
    return image


def _grid_axis(centres: np.ndarray, name: str) -> tuple[float, float, np.ndarray]:
    """Return where a grid starts along one axis, its step, and the index of each centre."""
    planes = np.unique(np.round(centres, 3))
    step = float(np.diff(planes).min()) if len(planes) > 1 else 1.0
    # Places come from affines in single precision: the whole width tells the step best.
    step = (planes[-1] - planes[0]) / max(1, round((planes[-1] - planes[0]) / step)) or step
    origin = float(planes[0] - step)
    index = np.rint((centres - origin) / step).astype(int)
    away = np.abs(origin + index * step - centres)
    if away.max() > TOLERANCE * step or index.max() > MOST_PLANES:
        raise InputError(
            f"targets lie on no grid along the axes: {name} = {centres[away.argmax()]:g} mm is off "
            f"planes of {step:g} mm; resample the images to a grid along the axes"
        )
    return origin, step, index


def read_image(path: str | Path) -> Nifti1Image:
    """Read a map of `storage.write_image`."""
    image = nifti1.load(path)
    assert isinstance(image, Nifti1Image)
    return image


def voxels(image: Nifti1Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of an image that are numbers, (n,), and their places in mm, (n, 3)."""
    data, affine = image.get_fdata(), np.asarray(image.affine)
    known = np.isfinite(data)
    return data[known], np.argwhere(known) @ affine[:3, :3].T + affine[:3, 3]


def mean(images: Sequence[Nifti1Image]) -> Nifti1Image:
    """Return the mean of images of the same voxels."""
    values, places = stack(images)
    return as_image(values.mean(axis=0), places)


def subtract(one: Nifti1Image, other: Nifti1Image) -> Nifti1Image:
    """Return one image minus another of the same voxels."""
    values, places = stack([one, other])
    return as_image(values[0] - values[1], places)


def stack(images: Sequence[Nifti1Image]) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of images of the same voxels, (n_images, n_voxels), and their places.

    Raises
    ------
    InputError : images of other voxels.
    """
    each = [voxels(image) for image in images]
    places = each[0][1]
    for _, other in each[1:]:
        if other.shape != places.shape or not np.allclose(other, places, atol=TOLERANCE):
            raise InputError(
                f"maps of {len(places)} and {len(other)} voxels: expected the same voxels; make "
                "both maps again"
            )
    return np.stack([values for values, _ in each]), places


# --- left against right ---------------------------------------------------------------------------


def left_minus_right(image: Nifti1Image) -> Nifti1Image:
    """Return the difference between each voxel on the left and its mirror image on the right.

    Returns
    -------
    An image of the same grid, with the difference at the voxel on the left. The right half, the
    midline (x = 0) and voxels without a mirror image have no value.
    """
    values, places = voxels(image)
    left, right = mirror_pairs(places)
    difference = np.full(len(values), np.nan)
    difference[left] = values[left] - values[right]
    return as_image(difference, places)


def mirror_pairs(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair voxels that mirror each other in the plane x = 0.

    Parameters
    ----------
    places : (n, 3) mm; left is x < 0.

    Returns
    -------
    Indices (n_pairs,) of the voxels on the left, and of those on the right.
    """
    from scipy.spatial import KDTree

    left, right = np.flatnonzero(places[:, 0] < 0), np.flatnonzero(places[:, 0] > 0)
    if not len(left) or not len(right):
        return left[:0], right[:0]
    found: Any = KDTree(places[right] * [-1, 1, 1]).query(places[left])
    away, nearest = found
    return left[away <= TOLERANCE], right[nearest[away <= TOLERANCE]]


# --- slopes ---------------------------------------------------------------------------------------


def fit_slopes(scores: np.ndarray, log10_params: np.ndarray) -> pd.DataFrame:
    """Regress the scores of each voxel on the size of models, by least squares.

    Parameters
    ----------
    scores : (n_models, n_voxels).
    log10_params : (n_models,), at least three.

    Returns
    -------
    One row per voxel: ``intercept``, ``slope`` (r per factor 10 of parameters), ``t`` and two-sided
    ``p`` of the slope over models (n_models - 2 degrees of freedom), ``q`` (Benjamini-Hochberg over
    voxels). Voxels with the same score in all models have no t, p and q.
    """
    from scipy.stats import t as student

    x = log10_params - log10_params.mean()
    free = len(x) - 2
    centred = scores - scores.mean(axis=0)
    slope = x @ centred / (x @ x)
    error = ((centred - np.outer(x, slope)) ** 2).sum(axis=0)
    deviation = np.sqrt(error / free / (x @ x))
    t = np.full(slope.shape, np.nan)
    np.divide(slope, deviation, out=t, where=deviation > 0)
    p = 2 * student.sf(np.abs(t), free)
    return pd.DataFrame(
        {
            "intercept": scores.mean(axis=0) - slope * log10_params.mean(),
            "slope": slope,
            "t": t,
            "p": p,
            "q": benjamini_hochberg(p),
        }
    )


def slope_table(images: Sequence[Nifti1Image], n_params: Iterable[int]) -> pd.DataFrame:
    """Fit slopes of score maps on log10 parameters.

    Returns
    -------
    One row per voxel: ``x``, ``y``, ``z`` (mm), ``hemisphere`` (M where x is 0),
    ``n_models``, and what `fit_slopes` returns.
    """
    values, places = stack(images)
    sides = np.array(["L", MIDLINE, "R"])[np.sign(np.round(places[:, 0], 3)).astype(int) + 1]
    where = pd.DataFrame(places, columns=AXES).assign(hemisphere=sides, n_models=len(values))
    return pd.concat([where, fit_slopes(values, np.log10(list(n_params)))], axis=1)

"""From fits to scores: one row per layer, subject, ROI and hemisphere, with intervals and p."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.inference import (
    FOLD_DEPENDENCE,
    block_permutations,
    interval,
    label_blocks,
    permutation_p,
    permuted_correlations,
    resampled_correlations,
    resampling_weights,
    sign_flip_p,
    widen,
)
from lmcortex.seeds import generator

if TYPE_CHECKING:
    import xarray as xr

NESTED = -1
ALL = "all"
AVERAGE = "average"
GROUP = "group"
CELL = ["dataset", "fit", "model", "checkpoint"]
KEY = [*CELL, "layer", "subject", "roi", "hemisphere"]
# Columns of a resampling step: 1000 resamples of this many series are a few dozen megabytes.
COLUMNS_PER_BATCH = 2000


@dataclass(frozen=True)
class Sampling:
    """Resamples of samples that all models of a (dataset, fit) share.

    `folds` is (n_samples,); `weights` and `permutations` are (n, n_samples).
    """

    folds: np.ndarray
    weights: np.ndarray
    permutations: np.ndarray


@dataclass(frozen=True)
class SubjectFit:
    """One subject's fits.

    `r_test`, `r_inner` and `alpha_index` are (n_layers, n_folds, n_targets), `prediction`
    (n_layers, n_samples, n_targets), `response` (n_samples, n_targets), the rest (n_targets,).
    """

    subject: str
    r_test: np.ndarray
    r_inner: np.ndarray
    alpha_index: np.ndarray
    prediction: np.ndarray
    response: np.ndarray
    ceiling: np.ndarray
    hemisphere: np.ndarray
    rois: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Region:
    """Scores of one subject, or of the group, in one ROI and hemisphere.

    The first axis of each array is the layers, and after them the nested choice among them: `r`
    (n_layers + 1, n_folds), mean over targets; `draws` (n_layers + 1, n_resamples); `alpha_index`
    (n_layers + 1, n_folds, n_targets); `share` (n_layers + 1,), how often a layer was chosen. `p`
    belongs to the nested score, and is NaN where the choice has seen the test score.
    """

    subject: str
    roi: str
    hemisphere: str
    n_targets: int
    ceiling: float
    r: np.ndarray
    draws: np.ndarray
    alpha_index: np.ndarray
    share: np.ndarray
    p: float


def score_rois(
    fits: Sequence["xr.Dataset"], ceiling: pd.DataFrame, spec: Mapping[str, Any], roi: str = ALL
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score one model's fits in every ROI.

    Parameters
    ----------
    fits : encoding datasets of one cell: all layers of all subjects, in one file or many.
    ceiling : columns `subject`, `target`, `ceiling`.
    spec : the cell's `dataset`, `fit`, `model`, `checkpoint` and `n_layers`; `layer_choice`,
        `n_permutations`, `n_resamples`, `resample_block`, `seed`; `rois`, the spheres of a
        voxel-wise dataset (left centre in mm, radius in mm; the right one is its mirror image).
    roi : one ROI, or `all` for each ROI and for all targets together (called `all` too).

    Returns
    -------
    scores : rows of the master table without what the registry knows; layer -1 is nested.
    draws : the resampled `draws` of those rows that speak for the dataset (`average`, `group`, or
        the only subject), by the key of the master table.

    Raises
    ------
    InputError : an ROI without targets, or a target without a row in the table of ceilings.
    """
    joined = _join_layers(fits)
    layers = joined[0]["layer"].to_numpy()
    alphas = _alpha_grid(joined[0])
    regions = [
        region
        for fit in joined
        for subject in _split_subjects(fit, ceiling, spec, roi)
        for region in score_subject(subject, _draw_samples(fit, spec), spec)
    ]
    regions += group_regions(regions, spec)
    rows = [row for region in regions for row in _region_rows(region, layers, alphas, spec)]
    speaking = {AVERAGE, GROUP} if len({region.subject for region in regions}) > 1 else None
    draws = [
        {
            **{name: spec[name] for name in CELL},
            "layer": int(layer),
            "subject": region.subject,
            "roi": region.roi,
            "hemisphere": region.hemisphere,
            "draws": resampled.astype(np.float32),
        }
        for region in regions
        if speaking is None or region.subject in speaking
        for layer, resampled in zip([*layers, NESTED], region.draws, strict=True)
    ]
    return (
        pd.DataFrame(rows).sort_values(KEY, ignore_index=True),
        pd.DataFrame(draws).sort_values(KEY, ignore_index=True),
    )


# --- reading fits ---------------------------------------------------------------------------------


def _join_layers(fits: Sequence["xr.Dataset"]) -> list["xr.Dataset"]:
    """Join the files of the same subjects along their layers."""
    import xarray as xr

    groups: dict[tuple[str, ...], list[xr.Dataset]] = {}
    for fit in fits:
        groups.setdefault(tuple(np.unique(fit["subject"])), []).append(fit)
    return [
        xr.concat(
            parts,
            "layer",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="override",
        ).sortby("layer")
        for parts in groups.values()
    ]


def _alpha_grid(fit: "xr.Dataset") -> np.ndarray:
    return np.logspace(fit.attrs["alpha_low"], fit.attrs["alpha_high"], fit.attrs["n_alphas"])


def _split_subjects(
    fit: "xr.Dataset", ceiling: pd.DataFrame, spec: Mapping[str, Any], roi: str
) -> Iterator[SubjectFit]:
    known = ceiling.set_index(["subject", "target"])["ceiling"]
    for subject in np.unique(fit["subject"]):
        part = fit.isel(target=np.flatnonzero(fit["subject"] == subject))
        keys = pd.MultiIndex.from_product([[subject], part["target"].to_numpy().astype(str)])
        if not keys.isin(known.index).all():
            missing = keys[~keys.isin(known.index)][0][1]
            raise InputError(
                f"ceiling of {spec['dataset']}: no row for sub-{subject}, target {missing}; "
                "estimate the ceilings again"
            )
        yield SubjectFit(
            subject=str(subject),
            r_test=part["r_test"].to_numpy(),
            r_inner=part["r_inner"].to_numpy(),
            alpha_index=part["alpha_index"].to_numpy(),
            prediction=part["prediction"].to_numpy(),
            response=part["response"].to_numpy(),
            ceiling=known.loc[keys].to_numpy(float),
            hemisphere=part["hemisphere"].to_numpy().astype(str),
            rois=_roi_members(part, spec.get("rois") or {}, roi, f"sub-{subject}"),
        )


def _roi_members(
    part: "xr.Dataset", spheres: Mapping[str, Any], roi: str, where: str
) -> dict[str, np.ndarray]:
    """Return which targets belong to each ROI asked for."""
    labels = part["roi"].to_numpy().astype(str)
    members = {name: labels == name for name in dict.fromkeys(labels)}
    if spheres:
        x, y, z = (part[axis].to_numpy() for axis in "xyz")
        left = np.stack([np.where(part["hemisphere"].to_numpy() == "R", -x, x), y, z], axis=1)
        members = {
            name: np.linalg.norm(left - np.array(sphere["center"]), axis=1) <= sphere["radius"]
            for name, sphere in spheres.items()
        }
    members[ALL] = np.ones(len(labels), dtype=bool)
    if roi not in members:
        raise InputError(f"{where}: no ROI `{roi}`; it has {', '.join(members)}")
    for name, mask in members.items():
        if not mask.any():
            raise InputError(f"{where}: ROI {name} holds no target; move its center or drop it")
    return members if roi == ALL else {roi: members[roi]}


def _draw_samples(fit: "xr.Dataset", spec: Mapping[str, Any]) -> Sampling:
    folds = fit["test_fold"].to_numpy()
    runs = pd.factorize(fit["run"].to_numpy())[0]
    blocks = label_blocks(runs * (folds.max() + 1) + folds, spec["resample_block"])
    key = (spec["dataset"], spec["fit"], spec["seed"])
    return Sampling(
        folds=folds,
        weights=resampling_weights(
            folds, blocks, spec["n_resamples"], generator("resamples", *key)
        ),
        permutations=block_permutations(
            folds, blocks, spec["n_permutations"], generator("permutations", *key)
        ),
    )


# --- scoring --------------------------------------------------------------------------------------


def score_subject(fit: SubjectFit, sampling: Sampling, spec: Mapping[str, Any]) -> Iterator[Region]:
    """Score one subject in each ROI, on each side that the ROI has and on both.

    The layer is chosen per ROI in each outer fold by the mean inner r of all its targets, so that
    left and right are compared at the same layer.
    """
    for roi, members in fit.rois.items():
        r_inner, r_test = fit.r_inner[..., members], fit.r_test[..., members]
        choice = choose_layers(r_inner, r_test, spec["layer_choice"])
        with_nested = _append_choice(r_test, choice)
        prediction = _append_choice(fit.prediction[..., members], choice[sampling.folds])
        response = fit.response[:, members]
        alpha_index = _append_choice(fit.alpha_index[..., members], choice)
        draws = widen(_resample(response, prediction, sampling))
        null = FOLD_DEPENDENCE * permuted_correlations(
            response, prediction[-1], sampling.folds, sampling.permutations
        )
        layers = np.arange(len(fit.r_test))
        share = np.append((choice == layers[:, None, None]).mean(axis=(1, 2)), 1.0)
        for hemisphere, side in _sides(fit.hemisphere[members]).items():
            r = with_nested[..., side].mean(axis=-1)
            honest = spec["layer_choice"] == "nested"
            p = permutation_p(r[-1].mean(), null[:, side].mean(axis=1)) if honest else np.nan
            yield Region(
                subject=fit.subject,
                roi=roi,
                hemisphere=hemisphere,
                n_targets=int(side.sum()),
                ceiling=float(fit.ceiling[members][side].mean()),
                r=r,
                draws=draws[..., side].mean(axis=-1),
                alpha_index=alpha_index[..., side],
                share=share,
                p=p,
            )


def choose_layers(r_inner: np.ndarray, r_test: np.ndarray, rule: str) -> np.ndarray:
    """Choose a layer for each outer fold and target.

    Parameters
    ----------
    r_inner, r_test : (n_layers, n_folds, n_targets) of one ROI.
    rule : `nested`, per fold the layer with the best mean inner r over the targets; or `test`, per
        target the layer with the best test r over folds (Bonnasse-Gahot & Pallier 2024), which
        favours models with more layers.

    Returns
    -------
    int array (n_folds, n_targets), positions along the layers.
    """
    if rule == "test":
        best = r_test.mean(axis=1).argmax(axis=0)[None, :]
    else:
        best = r_inner.mean(axis=-1).argmax(axis=0)[:, None]
    return np.broadcast_to(best, r_test.shape[1:])


def _append_choice(by_layer: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """Add the chosen layers' values after the last layer."""
    chosen = np.take_along_axis(by_layer, choice[None], axis=0)
    return np.concatenate([by_layer, chosen])


def _resample(response: np.ndarray, prediction: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return resampled r, (n_layers + 1, n_resamples, n_targets)."""
    n_layers, _, n_targets = prediction.shape
    draws = np.empty((n_layers, len(sampling.weights), n_targets))
    for target in range(0, n_targets, max(1, COLUMNS_PER_BATCH // n_layers)):
        batch = slice(target, target + max(1, COLUMNS_PER_BATCH // n_layers))
        measured = np.tile(response[:, batch], n_layers)
        predicted = np.concatenate(list(prediction[..., batch]), axis=1)
        r = resampled_correlations(measured, predicted, sampling.folds, sampling.weights)
        draws[..., batch] = r.reshape(len(r), n_layers, -1).transpose(1, 0, 2)
    return draws


def _sides(hemisphere: np.ndarray) -> dict[str, np.ndarray]:
    """Return the targets of each side that there is, and of `both` where there are two."""
    sides = {side: hemisphere == side for side in ("L", "R") if (hemisphere == side).any()}
    return sides | ({"both": np.ones(len(hemisphere), bool)} if len(sides) == 2 else {})


def group_regions(regions: Sequence[Region], spec: Mapping[str, Any]) -> Iterator[Region]:
    """Average subjects (not the fit to their mean response) ROI by ROI; none with one subject.

    The interval resamples subjects; p flips the signs of the subjects' nested r.
    """
    groups: dict[tuple[str, str], list[Region]] = {}
    for region in sorted(regions, key=lambda region: region.subject):
        if region.subject != AVERAGE:
            groups.setdefault((region.roi, region.hemisphere), []).append(region)
    key = (spec["dataset"], spec["fit"], spec["seed"])
    for (roi, hemisphere), members in groups.items():
        n = len(members)
        if n < 2:
            continue
        scores = np.stack([member.r.mean(axis=1) for member in members], axis=1)
        drawn = generator("subjects", *key).integers(n, size=(spec["n_resamples"], n))
        honest = spec["layer_choice"] == "nested"
        flips = generator("signs", *key)
        yield Region(
            subject=GROUP,
            roi=roi,
            hemisphere=hemisphere,
            n_targets=round(np.mean([member.n_targets for member in members])),
            ceiling=float(np.mean([member.ceiling for member in members])),
            r=np.mean([member.r for member in members], axis=0),
            draws=scores[:, drawn].mean(axis=-1),
            alpha_index=np.concatenate([member.alpha_index for member in members], axis=-1),
            share=np.mean([member.share for member in members], axis=0),
            p=sign_flip_p(scores[-1], spec["n_permutations"], flips) if honest else np.nan,
        )


def _region_rows(
    region: Region, layers: np.ndarray, alphas: np.ndarray, spec: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    n_layers = spec["n_layers"]
    for i, layer in enumerate([*layers, NESTED]):
        r = region.r[i].mean()
        low, high = interval(region.draws[i])
        chosen = region.alpha_index[i]
        yield {
            **{name: spec[name] for name in CELL},
            "layer": int(layer),
            "subject": region.subject,
            "roi": region.roi,
            "hemisphere": region.hemisphere,
            "n_layers": n_layers,
            "depth": np.nan if layer == NESTED else layer / max(n_layers, 1),
            "n_targets": region.n_targets,
            "r": r,
            "ci_low": low,
            "ci_high": high,
            "r_sd_folds": region.r[i].std(ddof=1),
            "ceiling": region.ceiling,
            "r_normalized": r / region.ceiling if region.ceiling > 0 else np.nan,
            "p": region.p if layer == NESTED else np.nan,
            "alpha_median": float(np.median(alphas[chosen])),
            "alpha_at_edge": float(np.isin(chosen, (0, len(alphas) - 1)).mean()),
            "selected_share": region.share[i],
        }

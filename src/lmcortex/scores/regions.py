"""Scores of one subject, or of the group, in each ROI and hemisphere."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmcortex.inference import (
    FOLD_DEPENDENCE,
    few_subjects,
    permutation_p,
    permuted_correlations,
    permuted_gains,
    resampled_correlations,
    sign_flip_p,
    widen,
)
from lmcortex.scores.fits import Sampling, Series, SubjectFit
from lmcortex.seeds import generator

AVERAGE = "average"
GROUP = "group"
# Columns of a resampling step: 1000 resamples of this many series are a few dozen megabytes.
COLUMNS_PER_BATCH = 2000


@dataclass(frozen=True)
class Region:
    """Scores of one subject, or of the group, in one ROI and hemisphere.

    The first axis of each array is the layers, and after them the nested choice among them: `r`
    (n_layers + 1, n_folds), mean over targets; `draws` (n_layers + 1, n_resamples), NaN where no
    prediction was kept; `alpha_index` (n_layers + 1, n_folds, n_targets); `share` (n_layers + 1,),
    how often a layer was chosen. `p` belongs to the nested score, and is NaN where the choice has
    seen the test score or no prediction was kept.
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


@dataclass(frozen=True)
class Place:
    """One side of an ROI: which of a subject's targets are in it, and the ROI's chosen layers.

    `members` is bool (n_targets,); `choice` is (n_folds, n_targets), 0 outside the ROI.
    """

    roi: str
    hemisphere: str
    members: np.ndarray
    choice: np.ndarray


def score_subject(fit: SubjectFit, sampling: Sampling, spec: Mapping[str, Any]) -> Iterator[Region]:
    """Score one subject in each ROI, on each side that the ROI has and on both.

    The layer is chosen per ROI in each outer fold by the mean inner r of all its targets, so that
    left and right are compared at the same layer.
    """
    places = list(_places(fit, spec["layer_choice"]))
    draws, null = _resample(fit, places, sampling)
    layers = np.arange(len(fit.r_test))
    honest = spec["layer_choice"] == "nested" and fit.has_predictions
    for i, place in enumerate(places):
        side = place.members
        choice = place.choice[:, side]
        r = _append_choice(fit.r_test[..., side], choice).mean(axis=-1)
        in_roi = place.choice[:, fit.rois[place.roi]]
        share = (in_roi == layers[:, None, None]).mean(axis=(1, 2))
        yield Region(
            subject=fit.subject,
            roi=place.roi,
            hemisphere=place.hemisphere,
            n_targets=int(side.sum()),
            ceiling=float(fit.ceiling[side].mean()),
            r=r,
            draws=widen(draws[i], FOLD_DEPENDENCE),
            alpha_index=_append_choice(fit.alpha_index[..., side], choice),
            share=np.append(share, 1.0),
            p=permutation_p(r[-1].mean(), null[i]) if honest else np.nan,
        )


def _places(fit: SubjectFit, rule: str) -> Iterator[Place]:
    for roi, members in fit.rois.items():
        choice = np.zeros(fit.r_test.shape[1:], dtype=int)
        choice[:, members] = choose_layers(
            fit.r_inner[..., members], fit.r_test[..., members], rule
        )
        for hemisphere, side in _sides(fit.hemisphere, members).items():
            yield Place(roi, hemisphere, side, choice)


def _sides(hemisphere: np.ndarray, members: np.ndarray) -> dict[str, np.ndarray]:
    """Return an ROI's targets on each side that it has, and all unless they are of one side.

    The midline is part of `both`, and of no side.
    """
    sides = {side: members & (hemisphere == side) for side in ("L", "R")}
    found = {side: targets for side, targets in sides.items() if targets.any()}
    return found | ({"both": members} if len(found) != 1 else {})


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


def _resample(
    fit: SubjectFit, places: Sequence[Place], sampling: Sampling
) -> tuple[np.ndarray, np.ndarray]:
    """Resample and permute the mean r of every place, reading a batch of targets at a time.

    Returns
    -------
    draws (n_places, n_layers + 1, n_resamples), and null scores of the nested choice (n_places,
    n_permutations); NaN without predictions.
    """
    n_layers, _, n_targets = fit.r_test.shape
    draws = np.zeros((len(places), n_layers + 1, len(sampling.weights)))
    null = np.zeros((len(places), len(sampling.permutations)))
    if not fit.has_predictions:
        return draws + np.nan, null + np.nan
    size = max(1, COLUMNS_PER_BATCH // n_layers)
    for start in range(0, n_targets, size):
        batch = slice(start, min(start + size, n_targets))
        series = fit.read(batch)
        by_layer = _resampled(series, sampling)
        for roi, members in fit.rois.items():
            here = np.flatnonzero(members[batch])
            if not len(here):
                continue
            in_roi = [(i, place) for i, place in enumerate(places) if place.roi == roi]
            choice = in_roi[0][1].choice[:, batch][:, here]
            nested = series.choose(here, choice[sampling.folds])
            drawn = _resampled(nested, sampling)[0]
            permuted = _permuted(nested, sampling)
            for i, place in in_roi:
                side = place.members[batch][here]
                draws[i, :-1] += by_layer[..., here[side]].sum(axis=-1)
                draws[i, -1] += drawn[:, side].sum(axis=-1)
                null[i] += permuted[side].sum(axis=0)
    sizes = np.array([place.members.sum() for place in places])
    return draws / sizes[:, None, None], null / sizes[:, None]


def _resampled(series: Series, sampling: Sampling) -> np.ndarray:
    """Resample each layer's score, (n_layers, n_resamples, n_targets)."""

    def resample(predicted: np.ndarray) -> np.ndarray:
        folds, weights = sampling.folds, sampling.weights
        return resampled_correlations(series.response, predicted, folds, weights)

    if series.known is None:
        return resample(series.prediction)
    return resample(series.prediction) - resample(series.known[None])


def _permuted(series: Series, sampling: Sampling) -> np.ndarray:
    """Permute the responses under the first layer's prediction, (n_targets, n_permutations)."""
    folds, orders, prediction = sampling.folds, sampling.permutations, series.prediction[0]
    if series.known is None:
        null = permuted_correlations(series.response, prediction, folds, orders)
        return FOLD_DEPENDENCE * null.T
    null = permuted_gains(series.response, prediction, series.known, folds, orders)
    return widen(null.T, FOLD_DEPENDENCE)


def group_regions(regions: Sequence[Region], spec: Mapping[str, Any]) -> Iterator[Region]:
    """Average subjects (not the fit to their mean response) ROI by ROI; none with one subject.

    The interval resamples subjects, and is about that of Student's t; p flips the signs of the
    subjects' nested r.
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
            draws=widen(scores[:, drawn].mean(axis=-1), few_subjects(n)),
            alpha_index=np.concatenate([member.alpha_index for member in members], axis=-1),
            share=np.mean([member.share for member in members], axis=0),
            p=sign_flip_p(scores[-1], spec["n_permutations"], flips) if honest else np.nan,
        )

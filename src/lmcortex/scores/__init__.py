"""From fits to scores: one row per layer, subject, ROI and hemisphere, with intervals and p."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmcortex.inference import interval
from lmcortex.scores.fits import ALL, Parcels, draw_samples, group_files, split_subjects
from lmcortex.scores.regions import AVERAGE, GROUP, Region, group_regions, score_subject

if TYPE_CHECKING:
    import xarray as xr

NESTED = -1
CELL = ["dataset", "fit", "model", "checkpoint"]
KEY = [*CELL, "layer", "subject", "roi", "hemisphere"]


def score_rois(
    fits: Sequence["xr.Dataset"],
    ceiling: pd.DataFrame,
    spec: Mapping[str, Any],
    roi: str = ALL,
    parcels: Parcels | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score one model's fits in every ROI.

    Parameters
    ----------
    fits : encoding datasets of one cell: all layers of all subjects, in one file or many. Opened
        files are read a batch of targets at a time.
    ceiling : columns `subject`, `target`, `ceiling`.
    spec : the cell's `dataset`, `fit`, `model`, `checkpoint` and `n_layers`; `layer_choice`,
        `n_permutations`, `n_resamples`, `resample_block`, `seed`; `rois`, the spheres of a
        voxel-wise dataset (left centre in mm, radius in mm; the right one is its mirror image);
        `halve_midline`, if targets at x = 0 count as left or right (`homologues.halve_midline`)
        and not for both sides together alone.
    roi : one ROI, or `all` for each ROI and for all targets together (called `all` too).
    parcels : regions of a labelled image that are ROIs beside those of `spec`.

    Returns
    -------
    scores : rows of the master table without what the registry knows; layer -1 is nested.
    draws : the resampled `draws` of those rows that speak for the dataset (`average`, `group`, or
        the only subject), by the key of the master table.

    Raises
    ------
    InputError : an ROI without targets, or a target without a row in the table of ceilings.
    """
    groups = group_files(fits)
    layers = np.concatenate([part["layer"].to_numpy() for part in groups[0]])
    alphas = _alpha_grid(groups[0][0])
    sampling = draw_samples(groups[0][0], spec)
    regions = [
        region
        for parts in groups
        for subject in split_subjects(parts, ceiling, spec, roi, parcels)
        for region in score_subject(subject, sampling, spec)
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


def _alpha_grid(fit: "xr.Dataset") -> np.ndarray:
    return np.logspace(fit.attrs["alpha_low"], fit.attrs["alpha_high"], fit.attrs["n_alphas"])


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

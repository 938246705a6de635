"""Figures of geometry draw what the tables hold."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_figures import drawn, texts

from lmcortex.figures import geometry, geometry_brain
from lmcortex.figures.style import View

VIEW = View("prose", "fit")
STEPS, LAYERS, ROIS = (1, 10, 100, 1000), (1, 2, 3, 4), ("all", "IFG", "ATL")
SIZES = {"net-s": 1e6, "net-m": 1e7, "net-l": 1e8}
UNIT = {"dataset": "prose", "fit": "fit", "subject": "average", "hemisphere": "L"}


def test_modules_say_how_many_clusters_there_are_and_when_they_settle() -> None:
    cells = list(product(STEPS, LAYERS))
    members = pd.DataFrame(
        {
            "dataset": "prose", "model": "net-s", "n_params": 1e6, "choice": "first choice",
            "step": float(step), "layer": layer, "low": layer < 3, "ari_final": 1.0,
            "n_clusters_silhouette": 3, "n_clusters_gap": 1,
        }
        for step, layer in cells
    )  # fmt: skip
    table = pd.DataFrame(
        {
            "dataset": "prose", "model": "net-s", "step": float(step), "layer": layer,
            "measure": measure, "unit": unit, "mean": float(layer), "first_choice": True,
        }
        for (step, layer), (measure, unit) in product(
            cells, [("entropy", "nats"), ("curvature", "degrees")]
        )
    )  # fmt: skip
    said = {"n_clusters_silhouette": 2, "n_clusters_gap": 4, "stable_step": 10, "ari_final": 0.9}
    nulls = pd.DataFrame({"statistic": list(said), "observed": list(said.values())}).assign(
        dataset="prose", model="net-s", choice="first choice", null="smooth", expected=0.6, p=0.01
    )
    figure = geometry.modules(table, members, nulls, VIEW)
    numbers = figure.axes[-1]
    assert drawn(numbers, "silhouette")[0][:, 1].tolist() == [3] * len(STEPS)
    assert drawn(numbers, "gap")[0][:, 1].tolist() == [1] * len(STEPS)
    assert "silhouette 2 · gap 4" in numbers.texts[0].get_text()
    assert "settled from step 10" in figure.axes[-2].texts[0].get_text()


def master() -> pd.DataFrame:
    """Return what figures of geometry read of the scores: whose they are, and ceilings."""
    return pd.DataFrame([{**UNIT, "roi": roi, "ceiling": 0.35, "r": 0.1} for roi in ROIS])


def test_scores_of_modules_stand_below_the_noise_ceiling() -> None:
    rows = pd.DataFrame(
        {
            **UNIT, "roi": roi, "model": "net-s", "n_params": 1e6, "choice": "first choice",
            "membership": "step", "step": step, "r_low": 0.3, "r_high": 0.2,
            "difference": 0.1, "ci_low": 0.05, "ci_high": 0.15,
        }
        for roi, step in product(ROIS, [*STEPS, np.nan])
    )  # fmt: skip
    figure = geometry_brain.module_scores(rows, master(), VIEW)
    for axis in figure.axes:
        assert drawn(axis, "low")[0][:, 1].tolist() == [0.3] * len(STEPS)
        assert drawn(axis, "ceiling")[0][:, 1].tolist() == [0.35, 0.35]


MEASURES = {"onset50": 10.0, "onset90": 100.0, "late_gain": 0.02, "variability": 0.1}


def region_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables `training` and `onset_contrasts` of one model."""
    regions = pd.DataFrame(
        {
            **UNIT, "roi": roi, "model": "net-s", "n_params": 1e6, "first_step": 1.0,
            "last_step": 1000.0, **MEASURES,
            **{f"{name}_ci_low": value / 2 for name, value in MEASURES.items()},
            **{f"{name}_ci_high": np.inf for name in MEASURES},
        }
        for roi in ROIS
    )  # fmt: skip
    contrasts = pd.DataFrame(
        {
            **UNIT, "model": "net-s", "n_params": 1e6, "measure": measure, "noise": noise,
            "difference": -0.5, "ci_low": -1.0, "ci_high": 0.0,
        }
        for measure, noise in product(MEASURES, ["matched", "as measured"])
    )  # fmt: skip
    return regions, contrasts


def test_every_region_has_its_onsets_and_its_variability_with_intervals() -> None:
    regions, contrasts = region_tables()
    figure = geometry_brain.onsets(contrasts, regions, master(), VIEW)
    for axis, (measure, value) in zip(figure.axes, MEASURES.items(), strict=False):
        assert [points[0, 0] for points in drawn(axis, measure)] == [value, value]  # IFG, ATL
    # An onset that some resamples never reach has an interval to the end of training.
    bars = [line.get_xdata() for line in figure.axes[1].lines if line.get_gid() != "onset90"]
    assert [list(bar) for bar in bars] == [[50.0, 1000.0]] * 2


def test_a_dataset_without_sides_has_its_regions_drawn_once() -> None:
    regions, contrasts = region_tables()
    scores = master().assign(hemisphere="both")
    figure = geometry_brain.onsets(
        contrasts.assign(hemisphere="both"), regions.assign(hemisphere="both"), scores, VIEW
    )
    assert len(drawn(figure.axes[0], "onset50")) == 2  # IFG, ATL


def relations(**columns: Any) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            **UNIT, "roi": roi, "model": model, "n_params": size, "measure": measure,
            "first_choice": True, "control": control, "method": "pearson",
            "estimate": -0.1 * np.log10(size / 1e5), "ci_low": -0.9, "ci_high": 0.4,
        }
        for roi, (model, size), measure, control in product(
            ROIS, SIZES.items(), ["entropy", "curvature"], ["log step", "steps"]
        )
    )  # fmt: skip
    grown = rows[rows["model"] == "net-s"].assign(
        model="all", n_params=np.nan, method="growth", estimate=-0.93, ci_low=-2.14, ci_high=0.28
    )
    return pd.concat([rows, grown], ignore_index=True).assign(**columns)


def test_the_relation_is_drawn_by_region_and_by_size() -> None:
    figure = geometry_brain.relation(relations(), master(), VIEW)
    assert len(figure.axes) == len(ROIS) + 1
    by_size = drawn(figure.axes[-1], "by size, curvature")[0]
    assert by_size[:, 1] == pytest.approx([-0.1, -0.2, -0.3])
    assert "curvature: -0.93 [-2.14, 0.28]" in figure.axes[-1].texts[0].get_text()


def test_too_few_sizes_have_no_panel_of_growth() -> None:
    rows = relations()
    figure = geometry_brain.relation(rows[rows["method"] == "pearson"], master(), VIEW)
    assert len(figure.axes) == len(ROIS)
    assert "partial correlation" in texts(figure)

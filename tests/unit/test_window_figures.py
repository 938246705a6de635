"""Figures of windows draw what the tables hold."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_figures import drawn

from lmcortex.figures import style, windows

STEPS = (0, 10, 100)
PUBLISHED = {"model": "net", "citation": "A paper", "weight": {"1": 0.1, "2": 0.3}, "exponent": {}}


def table(**columns: Any) -> pd.DataFrame:
    """Return rows of two layers and embeddings at three steps and of the untrained twin."""
    rows = []
    for checkpoint in [*(f"step{step}" for step in STEPS), "untrained-seed1"]:
        twin = checkpoint.startswith("untrained")
        for layer in range(3):
            rows.append(
                {
                    "text": "prose", "model": "net", "checkpoint": checkpoint, "side": "past",
                    "layer": layer, "n_layers": 2, "n_params": 1e6, "n_units": 8,
                    "role": "untrained" if twin else "trained",
                    "step": np.nan if twin else float(checkpoint[4:]),
                    "final": checkpoint == "step100", **columns,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def fits() -> pd.DataFrame:
    rows = table(
        mixture_best=0.75, length=2.0, mixture_exponent=1.0, mixture_rate=0.5, power_tail=0.6
    )
    rows["mixture_weight"] = 0.1 * rows["layer"] + 0.01 * rows["step"].fillna(0)
    for form in ("flat", "exponential", "power", "mixture"):
        rows[f"mse_{form}"] = 0.01
    return rows


def titled(figure: Any, label: str) -> Any:
    return next(axis for axis in figure.axes if label in axis.get_ylabel())


def test_fits_draw_a_line_for_each_step_and_the_published_medians() -> None:
    figure = windows.window_fits(fits(), {"text": "prose", "published": PUBLISHED})
    axis = titled(figure, "weight of the power law")
    lines = {line.get_gid(): line.get_ydata().tolist() for line in axis.lines}
    assert lines["step100"] == pytest.approx([1.1, 1.2])
    assert lines["untrained-seed1"] == pytest.approx([0.1, 0.2])
    assert lines["published"] == [0.1, 0.3]
    assert "75%" in " ".join(text.get_text() for text in figure.texts)


def test_a_model_that_reads_both_sides_has_its_future_below() -> None:
    both = pd.concat([fits(), fits().assign(side="future", length=3.0)])
    figure = windows.window_fits(both, {"text": "prose", "published": None})
    lengths = [axis for axis in figure.axes if "length" in axis.get_ylabel()]
    assert [axis.get_ylabel().partition("\n")[0] for axis in lengths] == ["net", "net, future"]
    assert [set(axis.lines[0].get_ydata()) for axis in lengths] == [{2.0}, {3.0}]


def test_another_models_medians_are_not_marked() -> None:
    published = {**PUBLISHED, "model": "other"}
    figure = windows.window_fits(fits(), {"text": "prose", "published": published})
    assert not any(drawn(axis, "published") for axis in figure.axes)


def test_yoking_has_a_panel_for_each_length_of_sentences() -> None:
    rows = table(index=0.2, index_low=0.1, index_high=0.3)
    both = pd.concat([rows.assign(unit_words=length) for length in (8, 12)])
    figure = windows.yoking(both, {"text": "prose"})
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["sentences of 8 words", "sentences of 12 words"]
    assert "last layers 0.200" in " ".join(text.get_text() for text in figure.texts)


def units(level: float) -> pd.DataFrame:
    window = np.where(np.arange(5) == 0, 1.0, level)
    rows = [
        {"layer": layer, "side": side, "unit": unit, "kind": "flat", "length": window.sum(),
         "window": window * (1 if unit else 0.5)}
        for layer in range(3) for side in ("past", "future") for unit in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_windows_draw_units_and_their_mean_to_both_sides() -> None:
    spec = {"text": "prose", "model": "net", "checkpoints": ["step9", "step3", "untrained-seed1"]}
    figure = windows.windows([units(0.4), units(0.2), units(0.1)], spec)
    axis = figure.axes[1]
    means = [line for line in axis.lines if line.get_gid() == "mean"]
    away = {tuple(np.asarray(line.get_xdata()).tolist()) for line in means}
    assert away == {(0, -1, -2, -3, -4), (0, 1, 2, 3, 4)}
    assert means[0].get_ydata()[1] == pytest.approx(0.3)
    others = {line.get_gid(): line.get_ydata()[1] for line in axis.lines[-4:]}
    assert others == {"step3": pytest.approx(0.15), "untrained-seed1": pytest.approx(0.075)}


def test_differences_are_laid_out_by_swapped_and_measured_word() -> None:
    past = np.arange(1, 10, dtype=float).reshape(3, 3)
    future = past + 100
    matrix = windows.swapped_by_measured({"04/past/01": past, "04/future/01": future}, "04/{}/01")
    # Word 0 swapped: lags 0 to 2 after it; word 2 swapped: the first from the end.
    assert matrix[0].tolist()[1:] == [2, 3]
    assert matrix[1].tolist() == [105, 104, 5]
    assert matrix[2].tolist() == [103, 102, 101]


def test_a_text_without_series_says_so() -> None:
    spec = {"text": "prose", "model": "net", "checkpoints": ["main"]}
    figure = windows.differences([{}], spec)
    assert windows.NO_SERIES in [text.get_text() for text in figure.texts]


def test_a_study_without_steps_has_no_relation() -> None:
    columns = ["dataset", "fit", "subject", "method", "control"]
    scores = pd.DataFrame({"dataset": ["d"], "fit": ["f"], "subject": ["average"]})
    found = windows.window_relation(pd.DataFrame(columns=columns), scores, style.View("d", "f"))
    assert "No model has four layers" in found.texts[-1].get_text()

"""Tables of windows: layers summed up, and a planted relation with scores found again."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lmcortex.statistics.windows import collect_windows, collect_yoking, relate_windows
from lmcortex.windows import fits
from lmcortex.windows.measure import fitted_rows, yoked_rows

STEPS = (1, 4, 16, 64, 256, 1000)
N_LAYERS = 6
LAGS = np.arange(21.0)
SPEC = {
    "models": {
        "net": {"role": "trained", "family": "suite", "n_params": 10**6, "tokens_per_step": 100,
                "final": "step1000", "n_layers": N_LAYERS}
    }
}  # fmt: skip


def units(window: np.ndarray, scales: np.ndarray) -> pd.DataFrame:
    """Return the rows of units of one layer with this window."""
    differences = np.broadcast_to(window[None, :, None] * scales, (40, len(window), len(scales)))
    return fitted_rows(differences, np.stack([differences] * 2))


def run_of(checkpoint: str, layers: dict[int, pd.DataFrame]) -> pd.DataFrame:
    parts = [rows.assign(layer=layer, side="past") for layer, rows in layers.items()]
    named = {"text": "prose", "model": "net", "checkpoint": checkpoint}
    return pd.concat(parts, ignore_index=True).assign(**named)


@pytest.fixture(scope="module")
def windows() -> pd.DataFrame:
    scales = np.array([1.0, 2.0, 5.0])
    layers = {
        0: units((LAGS == 0).astype(float), scales),
        1: units(np.exp(-0.3 * LAGS), scales),
        2: units((LAGS + 1) ** -0.5, np.array([1.0, 0.0, 3.0])),
    }
    return collect_windows([run_of("step1000", layers)], SPEC).set_index("layer")


def test_a_layer_has_the_medians_and_kinds_of_its_units(windows) -> None:
    assert windows.loc[1, "rate"] == pytest.approx(0.3, abs=1e-3)
    assert windows.loc[2, "exponent"] == pytest.approx(0.5, abs=1e-3)
    assert windows.loc[0, "share_delta"] == windows.loc[1, "share_exponential"] == 1
    assert windows.loc[1, "length"] == pytest.approx(np.exp(-0.3 * LAGS).sum())


def test_units_without_a_window_are_counted_and_in_no_median(windows) -> None:
    assert windows.loc[2, "share_undefined"] == pytest.approx(1 / 3)
    assert windows.loc[2, "share_power"] == pytest.approx(2 / 3)
    assert windows.loc[2, "length"] == pytest.approx(((LAGS + 1) ** -0.5).sum())


@pytest.mark.parametrize(
    ("exponent", "rate", "weight", "expected"), [(0.5, 1.0, 0.3, 1.0), (3.0, 0.02, 0.9, 0.0)]
)
def test_the_part_that_lasts_longer_is_named(exponent, rate, weight, expected) -> None:
    window = weight * (LAGS + 1) ** -exponent + (1 - weight) * np.exp(-rate * LAGS)
    run = run_of("step1000", {1: units(window, np.array([1.0, 2.0]))})
    assert collect_windows([run], SPEC)["power_tail"].tolist() == [expected]


def test_weight_and_exponent_are_those_of_units_that_end_in_a_power_law() -> None:
    slow, steep = (
        weight * (LAGS + 1) ** -exponent + (1 - weight) * np.exp(-rate * LAGS)
        for exponent, rate, weight in ((0.5, 1.0, 0.3), (3.0, 0.02, 0.9))
    )
    one = np.array([1.0])
    units_of_both = pd.concat([units(slow, one), units(steep, one), units(steep, one)])
    found = collect_windows([run_of("step1000", {1: units_of_both})], SPEC).iloc[0]
    assert found["power_tail"] == pytest.approx(1 / 3)
    assert found["mixture_weight"] == pytest.approx(0.3, abs=1e-3)
    assert found["mixture_exponent"] == pytest.approx(0.5, abs=1e-3)


def test_forms_are_compared_on_the_held_out_half(windows) -> None:
    assert windows.loc[2, "power_best"] == 1 and windows.loc[1, "power_best"] == 0


def test_held_out_errors_are_those_of_the_second_half_under_fits_to_the_first() -> None:
    first, second = (
        np.broadcast_to(np.exp(-rate * LAGS)[None, :, None], (40, 21, 1)) for rate in (0.3, 0.5)
    )
    rows = fitted_rows((first + second) / 2, np.stack([first, second]))
    expected = ((np.exp(-0.3 * LAGS) - np.exp(-0.5 * LAGS))[1:] ** 2).mean()
    assert rows["mse_exponential"][0] == pytest.approx(expected, rel=1e-4)


def test_yoking_of_a_layer_is_its_units_median() -> None:
    lag, word = np.arange(60), np.arange(60)[:, None]
    inside = (word + lag) // 12 == word // 12
    reset = np.where(inside, np.exp(-0.3 * lag), 0)[..., None]
    free = np.broadcast_to(np.exp(-0.3 * lag), (60, 60))[..., None]
    differences = np.concatenate([reset, reset, free], axis=-1)
    rows = yoked_rows(differences, np.stack([differences] * 2), 12)
    run = run_of("step1000", {1: rows})
    found = collect_yoking([run], SPEC).iloc[0]
    assert found["index"] == pytest.approx(0.2469, abs=1e-3)
    assert found["index_high"] == found["index_first"] == found["index"]
    assert found["n_units"] == 3 and found["unit_words"] == 12


def test_a_text_without_sentences_leaves_a_table_without_rows() -> None:
    assert collect_yoking([pd.DataFrame()], SPEC).empty


def study(slope: float) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return scores that rise with depth and training, and with windows beyond these."""
    rng = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    for step in STEPS:
        for layer in range(N_LAYERS + 1):
            length = 1 + 0.3 * layer + 0.2 * np.log10(step) + rng.normal(0, 0.3)
            score = 0.02 * layer + 0.03 * np.log10(step) + slope * length + rng.normal(0, 0.005)
            rows.append({"layer": layer, "step": float(step), "length": length, "r": score})
    table = pd.DataFrame(rows).assign(
        model="net", family="suite", n_params=1e6, n_layers=N_LAYERS, role="trained"
    )
    unit = {"dataset": "d", "fit": "f", "subject": "average", "roi": "IFG", "hemisphere": "L"}
    windows = table.assign(text="prose", side="past", mixture_weight=table["length"] / 10)
    windows["mixture_exponent"] = rng.normal(1, 0.1, len(windows))
    yoking = windows.assign(unit_words=12, index=rng.normal(0, 1, len(windows)))
    return table.assign(**unit), windows, yoking


def related(slope: float, measure: str = "length") -> pd.DataFrame:
    found = relate_windows(*study(slope), {"seed": 0})
    rows = found[(found["measure"] == measure) & (found["method"] == "pearson")]
    return rows.set_index("control")


def test_a_planted_relation_is_found_beyond_depth_and_training() -> None:
    rows = related(0.05)
    for control in ("log step, depth", "steps, depth", "layers, steps"):
        assert rows.loc[control, "ci_low"] > 0.5


def test_what_depth_and_training_explain_is_no_relation() -> None:
    rows = related(0.0)
    assert rows.loc["none", "estimate"] > 0.4
    assert rows.loc["layers, steps", "ci_low"] < 0 < rows.loc["layers, steps", "ci_high"]


def test_every_measure_stands_beside_the_scores() -> None:
    found = relate_windows(*study(0.05), {"seed": 0})
    assert set(found["measure"]) == {"length", "mixture_weight", "mixture_exponent", "yoking-12"}
    assert found["q"].notna().all() and (found["q"] >= found["p"] - 1e-12).all()


def test_a_measure_that_a_layer_lacks_is_left_out() -> None:
    scores, windows, yoking = study(0.05)
    windows.loc[windows["layer"] == 3, "length"] = np.nan
    found = relate_windows(scores, windows, yoking, {"seed": 0})
    assert "length" not in set(found["measure"]) and "yoking-12" in set(found["measure"])


def test_kinds_are_forms_or_undefined(windows) -> None:
    shares = windows[[f"share_{kind}" for kind in fits.KINDS]].sum(axis=1)
    assert shares.tolist() == pytest.approx([1.0, 1.0, 1.0])

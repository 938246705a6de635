"""Values of models that a paper shows, fed to our statistics, give the results that it prints."""

import numpy as np
import pandas as pd
import pytest
from published import compare, compare_p, half_digit, read
from scipy.stats import t


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    """Results with `half`, half a unit of the last printed digit."""
    printed = read("results")["published"].astype(str)
    return compare(0).assign(half=printed.map(half_digit))


def test_correlations_with_size_perplexity_and_benchmark_are_those_printed(results):
    rows = results[
        (results["method"] != "regression") & results["column"].isin(["pearson_r", "statistic"])
    ]
    assert len(rows) == 22
    # Reading values to a pixel moves r by less than .005 over 28 models, and .01 over 4 or 5.
    few = rows["dataset"].isin(["gpt2", "qwen1.5"]) | (rows["models"] == "above 3e9")
    allowed = rows["half"] + np.where(few, 0.01, 0.005)
    assert (rows["difference"].abs() <= allowed).all()


def test_p_of_these_correlations_are_those_printed(results):
    rows = results[(results["method"] != "regression") & (results["column"] == "p")]
    few = rows["dataset"].isin(["gpt2", "qwen1.5"])
    ratio = np.log10(rows["ours"] / rows["published"]).abs()
    assert (ratio <= np.where(few, np.log10(1.6), np.log10(1.2))).all()


def test_slopes_per_factor_e_are_those_of_another_fit_to_the_same_values(results):
    rows = results[results["column"] == "slope_ln"]
    assert len(rows) == 6
    assert (rows["difference"].abs() <= rows["half"] + 5e-6).all()


def test_regressions_on_size_layers_and_width_are_those_printed(results):
    rows = results[results["method"] == "regression"]
    place = ["roi", "outcome", "predictor"]
    t_values = rows[rows["column"] == "statistic"].set_index(place)
    whole = t_values.loc[pd.IndexSlice[:, :, "all"], :]
    assert np.allclose(whole["ours"], whole["published"], rtol=0.02)  # F
    t_values = t_values.drop(index=whole.index)
    assert len(t_values) == 20
    assert (t_values["difference"].abs() <= 0.06).all()
    r2 = rows[rows["column"] == "r2"]
    assert (r2["difference"].abs() <= 0.003).all()
    for column in ("coefficient", "coefficient_ln"):
        found = rows[rows["column"] == column].set_index(place)
        error = (found["published"] / t_values["published"].loc[found.index]).abs()
        # A coefficient moves by as many of its standard errors as t does.
        assert (found["difference"].abs() <= found["half"] + 0.06 * error).all()


def test_p_follows_from_r_and_the_number_of_models():
    rows = compare_p()
    bounds = []
    for row in rows.itertuples():
        r = np.clip(np.abs(row.r) + np.array([0.005, -0.005]), 0, 1)
        free = row.models - 2
        bounds.append(2 * t.sf(r * np.sqrt(free / (1 - r**2)), free))
    low, high = np.array(bounds).T
    half = read("correlations")["p"].astype(str).map(half_digit)
    for found, slack in (("ours", 0), ("published", half)):
        assert ((rows[found] >= low - slack) & (rows[found] <= high + slack)).all()

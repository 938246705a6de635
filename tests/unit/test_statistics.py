import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from lmcortex import statistics
from lmcortex.errors import InputError
from lmcortex.inference import benjamini_hochberg
from lmcortex.statistics.lines import slope_p
from lmcortex.statistics.training import measure_growth, monotone_fit

N_DRAWS = 400


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def row(table: pd.DataFrame, **where) -> pd.Series:
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


class Study:
    """Made-up cells, whose draws have a noise in common and a tenth of it of their own."""

    def __init__(self, rng, noise=0.01):
        self.rng, self.noise = rng, noise
        self.shared = rng.standard_normal(N_DRAWS)
        self.scores, self.draws = [], []

    def add(
        self, model, checkpoint, r, *, subject="average", roi="ATL", side="L", layer=-1, **about
    ):
        cell = {"dataset": "toy", "fit": "f", "model": model, "checkpoint": checkpoint}
        where = {**cell, "layer": layer, "subject": subject, "roi": roi, "hemisphere": side}
        self.scores.append(
            {
                **where,
                "r": r,
                "ceiling": 0.5,
                "r_normalized": r / 0.5,
                "p": 0.01,
                "role": "trained",
                "family": "fam",
                "n_params": 1e6,
                "n_layers": 4,
                "depth": np.nan,
                "width": 8.0,
                "step": np.nan,
                "tokens_seen": np.nan,
                "final": True,
                "perplexity": np.nan,
                "benchmark": np.nan,
                **about,
            }
        )
        own = 0.1 * self.noise * self.rng.standard_normal(N_DRAWS)
        self.draws.append({**where, "draws": (r + self.noise * self.shared + own).astype("f4")})

    def tables(self):
        draws = statistics.collect_draws([pd.DataFrame(self.draws)])
        return pd.DataFrame(self.scores), draws


# --- collect --------------------------------------------------------------------------------------


def cell(model, subject, p, layer=-1):
    return {
        "dataset": "toy",
        "fit": "f",
        "model": model,
        "checkpoint": "main",
        "layer": layer,
        "subject": subject,
        "roi": "ATL",
        "hemisphere": "L",
        "p": p,
    }


def test_q_is_corrected_within_each_kind_of_subject_over_nested_rows():
    people = [0.001, 0.02, 0.04]
    rows = [cell("a", f"0{i}", p) for i, p in enumerate(people)]
    rows += [cell("a", "group", 0.01), cell("a", "average", 0.03), cell("a", "00", np.nan, 3)]
    about = {"role": "trained", "n_params": 10, "final": "main"}
    found = statistics.collect_scores([pd.DataFrame(rows)], {"models": {"a": about}})
    nested = found[found["layer"] == -1].set_index("subject")["q"]
    assert nested.loc[["00", "01", "02"]].to_numpy() == pytest.approx(benjamini_hochberg(people))
    assert (nested["group"], nested["average"]) == (0.01, 0.03)
    assert found.loc[found["layer"] == 3, "q"].isna().all()
    assert (found["n_params"] == 10).all()


def test_a_cell_that_the_spec_does_not_know_is_refused():
    with pytest.raises(InputError, match="no entry a,"):
        statistics.collect_scores([pd.DataFrame([cell("a", "01", 0.1)])], {"models": {}})


def test_the_table_of_draws_holds_nested_scores():
    rows = [{**cell("a", "group", 0, layer), "draws": [float(layer)]} for layer in (-1, 0, 1)]
    found = statistics.collect_draws([pd.DataFrame(rows)])
    assert found["draws"].tolist() == [[-1.0]]


def test_a_checkpoint_is_described_by_its_name():
    rows = [{**cell("a", "01", 0.1), "checkpoint": name} for name in ("step8", "untrained-seed1")]
    about = {"role": "trained", "tokens_per_step": 1000, "final": "step8"}
    found = statistics.collect_scores([pd.DataFrame(rows)], {"models": {"a": about}})
    found = found.set_index("checkpoint")
    assert found["tokens_seen"]["step8"] == 8000
    assert found["final"].to_dict() == {"step8": True, "untrained-seed1": False}
    assert found["role"].to_dict() == {"step8": "trained", "untrained-seed1": "untrained"}


# --- scaling --------------------------------------------------------------------------------------


def test_a_planted_size_law_is_recovered_with_its_interval(rng):
    study = Study(rng)
    sizes, slope = 10.0 ** np.arange(5, 11), 0.04
    residual = 0.005 * rng.standard_normal(6)
    values = 0.1 + slope * np.log10(sizes) + residual
    for size, r in zip(sizes, values, strict=True):
        study.add(f"p{size:.0f}", "main", r, n_params=size, role="planted")
        study.add(f"p{size:.0f}", "step1", 0.0, n_params=size, role="planted", final=False)
    table = statistics.fit_scaling(*study.tables())
    found = row(table, outcome="r", predictor="log10_params")
    expected = stats.linregress(np.log10(sizes), values)
    for name, value in (("slope", expected.slope), ("intercept", expected.intercept)):
        assert found[name] == pytest.approx(value)
    assert found["pearson_r"] == pytest.approx(expected.rvalue)
    assert found["n_models"] == 6
    assert found["ci_low"] < expected.slope < found["ci_high"]
    relative = row(table, outcome="r_normalized", predictor="log10_params")
    assert relative["slope"] == pytest.approx(expected.slope / 0.5)
    assert set(table["predictor"]) == {"log10_params"}


def test_without_errors_the_p_of_a_law_is_that_of_its_correlation(rng):
    x, y = rng.standard_normal((2, 7))
    draws = np.repeat(y[:, None], 3, axis=1)
    assert slope_p(x, y, draws) == pytest.approx(stats.pearsonr(x, y).pvalue)


def test_an_error_that_bends_the_line_leaves_the_p_of_a_law_as_it_is(rng):
    x = np.arange(6.0)
    bend = (x - 2.5) ** 2
    y = 0.1 * x + 0.02 * (bend - bend.mean())
    draws = y[:, None] + 0.05 * bend[:, None] * rng.standard_normal(500)
    assert slope_p(x, y, draws) == pytest.approx(stats.pearsonr(x, y).pvalue, rel=0.05)


def test_an_error_that_grows_with_size_is_no_law(rng):
    """Over models alone it is one: they lie on a line, of this error's making."""
    x, n = np.arange(6.0), 1000
    carried, own = x / 5, 0.3  # what models have of an error that all share, and their own error
    shared, single = rng.standard_normal((n, 1)), rng.standard_normal((n, 6))
    errors = shared * carried + own * single
    draws = errors.T  # their errors vary as those of the scores below
    p = [slope_p(x, y, draws) for y in rng.permutation(errors)]
    alone = [stats.pearsonr(x, y).pvalue for y in errors]
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.06
    assert np.mean(np.array(alone) <= 0.05) > 0.3


def test_models_that_scatter_make_a_law_as_rarely_as_in_a_test_over_models(rng):
    x = np.arange(6.0)
    draws = 0.1 * rng.standard_normal((6, 500))
    values = rng.standard_normal((1000, 6)) + 0.1 * rng.standard_normal((1000, 6))
    found = np.mean([slope_p(x, y, draws) <= 0.05 for y in values])
    assert found == pytest.approx(0.05, abs=0.02)


def test_noise_that_all_models_share_does_not_widen_the_interval_of_a_slope(rng):
    study = Study(rng, noise=0.1)
    for size in 10.0 ** np.arange(5, 9):
        study.add(f"m{size:.0f}", "main", 0.1 * np.log10(size), n_params=size)
    found = row(statistics.fit_scaling(*study.tables()), outcome="r")
    # Own noise is a tenth of the shared one: sd .01, over sizes with a sum of squares of 5.
    assert found["ci_high"] - found["ci_low"] == pytest.approx(2 * 1.96 * 0.01 / 5**0.5, rel=0.2)


def test_perplexity_and_benchmark_are_predictors_where_they_are_known(rng):
    study = Study(rng)
    for i in range(4):
        about = {"n_params": 10.0**i, "perplexity": 30.0 - i, "benchmark": 25.0 if i else np.nan}
        study.add(f"m{i}", "main", 0.1 + 0.01 * i, **about)
    table = statistics.fit_scaling(*study.tables())
    found = row(table, outcome="r", predictor="perplexity")
    assert found["slope"] == pytest.approx(-0.01)
    # Three models have the same benchmark score: no line can be drawn.
    assert set(table["predictor"]) == {"log10_params", "perplexity"}


def test_two_models_make_no_law(rng):
    study = Study(rng)
    study.add("a", "main", 0.1, n_params=1e6)
    study.add("b", "main", 0.2, n_params=1e7)
    table = statistics.fit_scaling(*study.tables())
    assert table.empty
    assert "slope" in table.columns


def test_untrained_twins_have_a_line_of_their_own(rng):
    study = Study(rng)
    for k in range(3):
        study.add(f"m{k}", "main", 0.1 * k, n_params=10.0**k)
        twin = {"role": "untrained", "final": False, "n_params": 10.0**k}
        for seed in (1, 2):
            study.add(f"m{k}", f"untrained-seed{seed}", 0.05 * k * seed, **twin)
    table = statistics.fit_scaling(*study.tables())
    found = row(table, outcome="r", role="untrained")
    assert (found["slope"], found["n_models"]) == pytest.approx((0.05, 3))
    assert found["slope_ln"] == pytest.approx(0.05 / np.log(10))


# --- controls -------------------------------------------------------------------------------------


def control(study: Study, **where) -> pd.Series:
    table = statistics.control_scaling(*study.tables())
    return row(table, **{"outcome": "r", "models": "all", **where})


def test_the_interval_of_a_line_over_models_is_that_of_resampled_models(rng):
    study, n, noise = Study(rng), 150, 0.02
    sizes = 10.0 ** rng.uniform(7, 10, n)
    for k, size in enumerate(sizes):
        study.add(f"m{k}", "main", 0.1 + noise * rng.standard_normal(), n_params=size)
    found = control(study, method="line")
    spread = 2 * 1.96 * noise / np.sqrt(n) / np.log10(sizes).std()
    assert found["ci_high"] - found["ci_low"] == pytest.approx(spread, rel=0.2)


def test_large_models_are_also_taken_alone(rng):
    study = Study(rng)
    for k, size in enumerate((1e8, 1e9, 3e9, 4e9, 5e9, 6e9, 7e9, 8e9)):
        study.add(f"m{k}", "main", 0.1 * k if size > 3e9 else 0.0, n_params=size)
    found = control(study, method="line", models="above 3e9")
    assert found["n_models"] == 5
    x = np.log10([4e9, 5e9, 6e9, 7e9, 8e9])
    assert found["coefficient"] == pytest.approx(stats.linregress(x, 0.1 * np.arange(3, 8)).slope)


def test_predictors_that_say_the_same_make_no_regression(rng):
    study = Study(rng)
    for k in range(8):
        study.add(f"m{k}", "main", rng.uniform(), n_params=10.0**k, width=10.0 + k, n_layers=3)
    table = statistics.control_scaling(*study.tables())
    assert set(table["method"]) == {"line"}


def test_single_subjects_have_lines_of_their_own(rng):
    study, x = Study(rng), np.arange(5.0)
    rises = {"01": 0.01, "02": -0.02}
    for k in range(5):
        study.add(f"m{k}", "main", 0.1, subject="group", n_params=10.0**k)
        for subject, rise in rises.items():
            for side in "LR":
                r = 0.2 + (side == "L") * (rise * k + 0.001 * rng.standard_normal())
                study.add(f"m{k}", "main", r, subject=subject, side=side, n_params=10.0**k)
    scores, draws = study.tables()
    found = statistics.control_scaling(scores, draws[draws["subject"] == "group"])
    for subject, rise in rises.items():
        law = row(found, subject=subject, outcome="difference")
        rows = scores[scores["subject"] == subject]
        left, right = (rows.loc[rows["hemisphere"] == side, "r"].to_numpy() for side in "LR")
        expected = stats.linregress(x, left - right)
        assert (law["statistic"], law["p"]) == pytest.approx((expected.rvalue, expected.pvalue))
        assert law["coefficient"] == pytest.approx(rise, abs=0.002)


def test_families_that_differ_do_not_bias_the_slope_of_the_mixed_model(rng):
    study, slope = Study(rng), 0.02
    for family in range(6):  # large families score low, so that a line over all models falls
        for size in np.arange(3) + family:
            r = 0.5 + slope * size - 0.05 * family + 0.001 * rng.standard_normal()
            study.add(f"{family}-{size}", "main", r, family=f"f{family}", n_params=10.0**size)
    assert control(study, method="line")["coefficient"] < 0
    found = control(study, method="mixed", predictor="log10_params")
    assert found["ci_low"] < slope < found["ci_high"]
    assert found["coefficient"] == pytest.approx(slope, abs=0.002)
    families = control(study, method="mixed", predictor="family")
    assert (families["n_models"], families["n_families"]) == (18, 6)
    assert families["coefficient"] == pytest.approx(np.std(0.05 * np.arange(6), ddof=1), rel=0.1)
    assert families["p"] < 0.001


def test_the_depth_of_the_best_layer_is_an_outcome(rng):
    study = Study(rng)
    for k, n_layers in enumerate((4, 8, 8)):
        for layer in range(n_layers + 1):
            r = 0.2 - 0.01 * abs(layer - 2)
            known = {"n_params": 10.0**k, "n_layers": n_layers}
            study.add(f"m{k}", "main", r, layer=layer, depth=layer / n_layers, **known)
        study.add(f"m{k}", "main", 0.2, n_params=10.0**k, n_layers=n_layers)
    found = control(study, outcome="best_depth")
    assert found["coefficient"] == pytest.approx((0.25 - 0.5) / 2)


# --- lateralization -------------------------------------------------------------------------------


def lateral_study(rng):
    study = Study(rng)
    for k, size in enumerate(10.0 ** np.arange(6, 10)):
        for subject, shift in (("01", 0.0), ("02", 0.02), ("03", 0.05), ("group", 0.0233333)):
            for side, gain in (("L", 0.03 * k), ("R", 0.01 * k)):
                bonus = shift if side == "L" else 0.0
                r = 0.2 + gain + bonus
                study.add(f"m{k}", "main", r, subject=subject, side=side, n_params=size)
    study.add("m0", "main", 0.3, roi="IFG", subject="group")
    return study.tables()


def test_left_minus_right_its_index_and_its_growth_with_size(rng):
    table = statistics.fit_lateralization(*lateral_study(rng))
    assert set(table["roi"]) == {"ATL"}
    found = row(table, model="m2", subject="group")
    left, right = 0.2833333, 0.22
    assert (found["left"], found["right"]) == pytest.approx((left, right))
    assert found["difference"] == pytest.approx(left - right)
    assert found["difference_normalized"] == pytest.approx((left - right) / 0.5)
    assert found["index"] == pytest.approx((left - right) / (left + right))
    assert found["ci_low"] < found["difference"] < found["ci_high"]
    assert found["slope_log10_params"] == pytest.approx(0.02)
    assert found["slope_ci_low"] < 0.02 < found["slope_ci_high"]
    assert found["normalized_ci_low"] == pytest.approx(found["ci_low"] / 0.5)


def test_the_p_of_a_group_difference_and_of_its_slope_flip_the_subjects(rng):
    found = row(statistics.fit_lateralization(*lateral_study(rng)), model="m2", subject="group")
    # Three subjects lean left, more so in larger models: of 8 sign patterns, two are as extreme.
    assert (found["p"], found["slope_p"]) == pytest.approx((2 / 8, 2 / 8))


def test_the_index_of_scores_around_zero_is_not_defined(rng):
    study = Study(rng)
    study.add("m", "main", -0.03)
    study.add("m", "main", 0.01, side="R")
    table = statistics.fit_lateralization(*study.tables())
    assert np.isnan(table["index"][0])
    assert np.isnan(table["slope_log10_params"][0])


def test_swapping_the_sides_changes_the_sign_only(rng):
    scores, draws = lateral_study(rng)
    swap = {"L": "R", "R": "L"}
    mirrored = [t.assign(hemisphere=t["hemisphere"].map(swap)) for t in (scores, draws)]
    a, b = statistics.fit_lateralization(scores, draws), statistics.fit_lateralization(*mirrored)
    for name in ("difference", "difference_normalized", "index", "slope_log10_params"):
        assert a[name].to_numpy() == pytest.approx(-b[name].to_numpy())


@pytest.mark.parametrize(
    ("right", "kept"), [(["ATL"], {"ATL"}), (["ATL", "IFG"], {"ATL", "IFG", "all"})]
)
def test_all_targets_are_compared_only_where_both_sides_have_the_same_rois(rng, right, kept):
    study = Study(rng)
    for side, rois in (("L", ["ATL", "IFG"]), ("R", right)):
        for roi in (*rois, "all"):
            study.add("m", "main", 0.2, roi=roi, side=side)
    assert set(statistics.fit_lateralization(*study.tables())["roi"]) == kept


# --- lateralization against twins and baselines --------------------------------------------------


def emergence_study(rng):
    """A model that leans left by .04, its twin that leans right by .01, and a baseline."""
    study = Study(rng, noise=0.1)
    for subject, shift in (("01", 0.0), ("02", 0.02), ("03", -0.01), ("group", 0.01 / 3)):
        for model, checkpoint, gap, about in (
            ("m", "step8", 0.04 + shift, {"step": 8.0}),
            ("m", "untrained-seed1", -0.01, {"role": "untrained", "final": False}),
            ("random-vector", "seed1", 0.0, {"role": "baseline"}),
            ("random-vector", "seed2", 0.02, {"role": "baseline"}),
        ):
            study.add(model, checkpoint, 0.2 + gap, subject=subject, **about)
            study.add(model, checkpoint, 0.2, subject=subject, side="R", **about)
    return study.tables()


def test_a_left_advantage_is_compared_with_that_of_the_twin_and_of_baselines(rng):
    table = statistics.contrast_lateralization(*emergence_study(rng))
    assert set(table["against"]) == {"untrained", "random-vector"}
    twin = row(table, against="untrained", subject="group")
    assert (twin["step"], twin["model"]) == (8, "m")
    assert twin["gain"] == pytest.approx(0.05 + 0.01 / 3)
    assert twin["difference_against"] == pytest.approx(-0.01)
    # Noise of sd .1 that all share cancels; what is left is four sides' own, of sd .01.
    assert twin["ci_high"] - twin["ci_low"] == pytest.approx(2 * 1.96 * 0.02, rel=0.2)
    assert twin["p"] == pytest.approx(2 / 8)  # all three subjects gain
    seeds = row(table, against="random-vector", subject="group")
    assert seeds["difference_against"] == pytest.approx(0.01)


# --- contrasts ------------------------------------------------------------------------------------


def test_a_contrast_is_paired_over_the_same_draws(rng):
    study = Study(rng, noise=0.1)
    study.add("a", "main", 0.30)
    study.add("b", "main", 0.25)
    spec = {"pairs": [[["a", "main"], ["b", "main"]]]}
    found = row(statistics.contrast_models(*study.tables(), spec), subject="average")
    assert found["difference"] == pytest.approx(0.05)
    # Noise of sd .1 that both share cancels; their own noise of sd .01 stays.
    assert found["ci_high"] - found["ci_low"] == pytest.approx(2 * 1.96 * 0.01 * 2**0.5, rel=0.2)
    assert (found["paired_over"], found["p"]) == ("items", 2 / (N_DRAWS + 1))


def test_a_group_contrast_flips_the_subjects_differences(rng):
    study = Study(rng)
    for subject, gain in (("01", 0.1), ("02", 0.2), ("03", -0.05), ("group", 0.0833333)):
        study.add("a", "main", 0.2 + gain, subject=subject)
        study.add("b", "main", 0.2, subject=subject)
    spec = {"pairs": [[["a", "main"], ["b", "main"]]]}
    found = row(statistics.contrast_models(*study.tables(), spec), subject="group")
    # |mean| of (+-.1 +-.2 +-.05): 4 of the 8 patterns reach .25 / 3.
    assert (found["paired_over"], found["p"]) == ("subjects", 0.5)


def test_a_pair_without_scores_is_refused(rng):
    study = Study(rng)
    study.add("a", "main", 0.3)
    with pytest.raises(InputError, match="a/main and c/main have no scores"):
        statistics.contrast_models(*study.tables(), {"pairs": [[["a", "main"], ["c", "main"]]]})


# --- training -------------------------------------------------------------------------------------


def test_the_monotone_fit_equals_isotonic_regression(rng):
    curves = np.cumsum(rng.normal(0.1, 1, (30, 12)), axis=1)
    steps = np.arange(12)
    expected = [IsotonicRegression().fit_transform(steps, curve) for curve in curves]
    assert monotone_fit(curves) == pytest.approx(np.array(expected))


STEPS = np.array([0, 1, 10, 100, 1000, 10000, 143000])


def test_onsets_are_the_steps_where_half_and_most_of_the_rise_is_made():
    curve = np.array([[0.1, 0.1, 0.15, 0.21, 0.28, 0.3, 0.3]])
    found = measure_growth(curve, STEPS)
    assert (found["onset50"][0], found["onset90"][0]) == (100, 1000)
    assert found["late_gain"][0] == pytest.approx(0.02)
    assert found["variability"][0] == pytest.approx(np.std([0.28, 0.3, 0.3], ddof=1) / 0.3)


def test_a_noisy_dip_does_not_move_the_onset():
    curve = np.array([[0.1, 0.1, 0.1, 0.22, 0.18, 0.3, 0.3]])
    assert measure_growth(curve, STEPS)["onset50"][0] == 100


def test_a_curve_that_only_falls_never_rises():
    found = measure_growth(np.linspace(0.3, 0.1, 7)[None], STEPS)
    assert np.isinf(found["onset50"][0])
    assert np.isnan(found["variability"][0])


def test_a_planted_learning_time_is_within_its_interval(rng):
    study = Study(rng, noise=0.02)
    learnt = 1 / (1 + np.exp(-4 * (np.log10(np.maximum(STEPS, 0.1)) - np.log10(300))))
    for step, share in zip(STEPS, learnt, strict=True):
        about = {"step": float(step), "final": step == 143000, "role": "planted"}
        study.add("p", f"step{step}", 0.05 + 0.2 * share, **about)
    study.add("p", "untrained-seed1", 0.9, role="untrained")
    found = row(statistics.track_training(*study.tables()), model="p")
    assert found["onset50"] == 1000
    assert found["onset50_ci_low"] <= found["onset50"] <= found["onset50_ci_high"]
    assert (found["first_step"], found["last_step"], found["n_checkpoints"]) == (0, 143000, 7)


def test_three_steps_are_no_trajectory(rng):
    study = Study(rng)
    for step in (0, 1, 2):
        study.add("p", f"step{step}", 0.1 * step, step=float(step))
    assert statistics.track_training(*study.tables()).empty


def test_a_study_of_one_model_on_one_side_has_empty_tables_with_their_columns(rng):
    study = Study(rng)
    study.add("a", "main", 0.1, subject="01", side="L")
    scores, draws = study.tables()
    for make in (
        statistics.fit_scaling,
        statistics.control_scaling,
        statistics.fit_lateralization,
        statistics.contrast_lateralization,
        statistics.track_training,
    ):
        table = make(scores, draws)
        assert table.empty
        assert {"dataset", "roi"} < set(table.columns)
        # So that a reader may ask which numbers are finite.
        assert pd.api.types.is_numeric_dtype(table.iloc[:, -1])

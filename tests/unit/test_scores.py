import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lmcortex import inference
from lmcortex.encoding.banded import fit_banded
from lmcortex.encoding.ridge import Penalties, fit_layer
from lmcortex.encoding.rotations import stimulus_of
from lmcortex.errors import InputError
from lmcortex.folds import make_folds
from lmcortex.scores import Parcels, score_rois
from lmcortex.scores.regions import choose_layers

N_LAYERS, N_FOLDS, N = 3, 4, 120
FOLD = np.repeat(np.arange(N_FOLDS), N // N_FOLDS)
TARGETS = [("ATL", "L"), ("ATL", "L"), ("ATL", "R"), ("IFG", "L")]
SPEC = {
    "dataset": "toy",
    "fit": "blocks",
    "model": "m",
    "checkpoint": "main",
    "n_layers": 2,
    "layer_choice": "nested",
    "n_permutations": 199,
    "n_resamples": 200,
    "resample_block": 1,
    "seed": 0,
    "rois": {},
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def made_fit(rng, subjects=("01",), gains=(0.1, 0.8, 0.3), inner=None) -> xr.Dataset:
    """A fit whose predictions follow the response by a gain per layer."""
    n_targets = len(TARGETS) * len(subjects)
    response = rng.standard_normal((N, n_targets))
    noise = rng.standard_normal((N_LAYERS, N, n_targets))
    prediction = np.array(gains)[:, None, None] * response + noise
    r_test = np.empty((N_LAYERS, N_FOLDS, n_targets))
    for layer, fold, target in np.ndindex(r_test.shape):
        here = fold == FOLD
        pair = prediction[layer, here, target], response[here, target]
        r_test[layer, fold, target] = np.corrcoef(*pair)[0, 1]
    dims = ("layer", "fold", "target")
    rois, sides = zip(*TARGETS * len(subjects), strict=True)
    return xr.Dataset(
        {
            "r_test": (dims, r_test),
            "r_inner": (dims, r_test if inner is None else inner),
            "alpha_index": (dims, np.full(r_test.shape, 8)),
            "prediction": (("layer", "sample", "target"), prediction),
            "response": (("sample", "target"), response),
            "test_fold": ("sample", FOLD),
        },
        coords={
            "layer": np.arange(N_LAYERS),
            "run": ("sample", ["1"] * N),
            "target": [f"t{i}" for i in range(len(TARGETS))] * len(subjects),
            "subject": ("target", np.repeat(subjects, len(TARGETS))),
            "roi": ("target", list(rois)),
            "hemisphere": ("target", list(sides)),
        },
        attrs={"n_alphas": 17, "alpha_low": -3.0, "alpha_high": 5.0},
    )


def ceilings(subjects=("01",), values=(0.5, 0.7, 0.4, 0.3)) -> pd.DataFrame:
    rows = [(s, f"t{i}", value) for s in subjects for i, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["subject", "target", "ceiling"])


def row(scores: pd.DataFrame, **where) -> pd.Series:
    for name, value in where.items():
        scores = scores[scores[name] == value]
    assert len(scores) == 1
    return scores.iloc[0]


def test_each_roi_has_its_sides_and_both_only_where_there_are_two(rng):
    scores, _ = score_rois([made_fit(rng)], ceilings(), SPEC)
    found = set(zip(scores["roi"], scores["hemisphere"], strict=True))
    both = {(roi, side) for roi in ("ATL", "all") for side in ("L", "R", "both")}
    assert found == both | {("IFG", "L")}
    assert set(scores["layer"]) == {-1, 0, 1, 2}


@pytest.mark.parametrize(
    ("sides", "found"), [("LLRM", {"L", "R", "both"}), ("LLMM", {"L"}), ("MMMM", {"both"})]
)
def test_the_midline_is_of_no_side_and_alone_of_both(rng, sides, found):
    fit = made_fit(rng).assign_coords(hemisphere=("target", list(sides)))
    scores, _ = score_rois([fit], ceilings(), SPEC)
    rows = scores[(scores["roi"] == "all") & (scores["layer"] == -1)].set_index("hemisphere")
    assert set(rows.index) == found
    counted = {side: sides.count(side) for side in "LR"} | {"both": 4}
    assert rows["n_targets"].to_dict() == {side: counted[side] for side in found}


def test_an_roi_by_name_gives_the_same_rows_as_all(rng):
    fit = made_fit(rng)
    scores, draws = score_rois([fit], ceilings(), SPEC)
    alone, alone_draws = score_rois([fit], ceilings(), SPEC, roi="ATL")
    for whole, part in ((scores, alone), (draws, alone_draws)):
        expected = whole[whole["roi"] == "ATL"].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, expected)


def test_a_score_is_the_mean_over_folds_and_targets(rng):
    fit = made_fit(rng)
    found = row(score_rois([fit], ceilings(), SPEC)[0], roi="ATL", hemisphere="L", layer=1)
    r = fit["r_test"][1, :, :2].mean("target").to_numpy()
    assert found["r"] == pytest.approx(r.mean())
    assert found["r_sd_folds"] == pytest.approx(r.std(ddof=1))
    assert (found["n_targets"], found["depth"]) == (2, 0.5)


def test_normalised_scores_divide_mean_r_by_mean_ceiling(rng):
    found = row(
        score_rois([made_fit(rng)], ceilings(), SPEC)[0], roi="ATL", hemisphere="L", layer=1
    )
    assert found["ceiling"] == pytest.approx(0.6)
    assert found["r_normalized"] == pytest.approx(found["r"] / 0.6)


def test_an_unknown_ceiling_leaves_the_score_unnormalised(rng):
    table = ceilings(values=(np.nan, 0.7, 0.4, 0.3))
    found = row(score_rois([made_fit(rng)], table, SPEC)[0], roi="ATL", hemisphere="L", layer=1)
    assert np.isnan(found["r_normalized"])


def test_the_nested_layer_is_chosen_by_inner_scores_and_for_both_sides_together(rng):
    inner = np.zeros((N_LAYERS, N_FOLDS, len(TARGETS)))
    inner[0, :, :2] = 0.4  # the left prefers layer 0,
    inner[2, :, 2] = 0.9  # the right prefers layer 2 by more than both left targets together
    inner[1, 3, :3] = 0.8  # and in one fold all prefer layer 1
    fit = made_fit(rng, inner=inner)
    scores, _ = score_rois([fit], ceilings(), SPEC)
    for side, targets in (("L", [0, 1]), ("R", [2])):
        found = row(scores, roi="ATL", hemisphere=side, layer=-1)
        by_fold = [fit["r_test"][layer, f, targets].mean() for f, layer in enumerate((2, 2, 2, 1))]
        assert found["r"] == pytest.approx(np.mean(by_fold))
        shares = scores[(scores["roi"] == "ATL") & (scores["hemisphere"] == side)]
        assert shares["selected_share"].tolist() == [1.0, 0.0, 0.25, 0.75]


def test_the_published_rule_takes_each_targets_best_test_score_and_has_no_p(rng):
    fit = made_fit(rng, gains=(0.5, 0.5, 0.5))
    scores, _ = score_rois([fit], ceilings(), {**SPEC, "layer_choice": "test"})
    found = row(scores, roi="ATL", hemisphere="L", layer=-1)
    assert found["r"] == pytest.approx(fit["r_test"].mean("fold").max("layer")[:2].mean())
    assert np.isnan(found["p"])


def test_choosing_the_layer_inside_the_folds_is_not_optimistic(rng):
    r_inner, r_test = rng.standard_normal((2, 20, 5, 400))
    for rule, expected in (("nested", 0.0), ("test", 1.87 / np.sqrt(5))):
        chosen = [
            np.take_along_axis(
                r_test[..., [t]], choose_layers(r_inner[..., [t]], r_test[..., [t]], rule)[None], 0
            ).mean()
            for t in range(400)
        ]
        # The expected maximum of 20 standard normal numbers is 1.87.
        assert np.mean(chosen) == pytest.approx(expected, abs=0.06)


def test_a_predicted_region_has_a_small_p_and_an_interval_around_its_score(rng):
    scores, draws = score_rois([made_fit(rng)], ceilings(), SPEC)
    found = row(scores, roi="ATL", hemisphere="both", layer=-1)
    assert found["p"] == 1 / 200
    assert found["ci_low"] < found["r"] < found["ci_high"]
    values = row(draws, roi="ATL", hemisphere="both", layer=-1)["draws"]
    assert (len(values), values.dtype) == (200, np.float32)
    assert np.mean(values) == pytest.approx(found["r"], abs=0.03)


def test_group_scores_average_the_subjects_and_leave_the_average_out(rng):
    labels = ("01", "02", "03", "average")
    fit = made_fit(rng, labels)
    scores, draws = score_rois([fit], ceilings(labels), SPEC)
    nested = scores[(scores["layer"] == -1) & (scores["roi"] == "IFG")].set_index("subject")
    assert nested.loc["group", "r"] == pytest.approx(nested.loc[["01", "02", "03"], "r"].mean())
    # Three positive subjects: one of the 8 sign patterns is as high.
    assert nested.loc["group", "p"] == 1 / 8
    values = row(draws, subject="group", roi="IFG", layer=-1)["draws"]
    subjects = nested.loc[["01", "02", "03"], "r"].to_numpy()
    # The extremes are one subject over and over, as far from the mean as few subjects have it.
    away = np.array([values.min(), values.max()]) - values.mean()
    expected = np.array([subjects.min(), subjects.max()]) - values.mean()
    assert (away / expected) == pytest.approx(inference.few_subjects(3), rel=0.05)


def test_draws_are_kept_of_whoever_speaks_for_the_dataset(rng):
    many = ("01", "02", "average")
    kept = {
        labels: set(score_rois([made_fit(rng, labels)], ceilings(labels), SPEC)[1]["subject"])
        for labels in (many, ("01",))
    }
    assert kept == {many: {"group", "average"}, ("01",): {"01"}}


def test_all_models_of_a_dataset_and_fit_share_their_resamples(rng):
    labels = ("01", "02", "average")
    fit = made_fit(rng, labels)
    cells = [score_rois([fit], ceilings(labels), {**SPEC, "model": m})[1] for m in ("a", "b")]
    for a, b in zip(cells[0]["draws"], cells[1]["draws"], strict=True):
        assert np.array_equal(a, b)
    other = score_rois([fit], ceilings(labels), {**SPEC, "fit": "another"})[1]
    assert not np.array_equal(other["draws"][0], cells[0]["draws"][0])


def test_files_of_layer_blocks_and_of_subjects_give_what_one_file_gives(rng):
    labels = ("01", "02")
    fit = made_fit(rng, labels)
    parts = [
        fit.isel(layer=layers, target=fit["subject"] == subject)
        for layers in ([2], [0, 1])
        for subject in labels
    ]
    for whole, split in zip(
        score_rois([fit], ceilings(labels), SPEC),
        score_rois(parts, ceilings(labels), SPEC),
        strict=True,
    ):
        pd.testing.assert_frame_equal(split, whole)


def test_spheres_take_their_voxels_on_both_sides(rng):
    fit = made_fit(rng).assign_coords(
        x=("target", [-48.0, -50.0, 48.0, -10.0]),
        y=("target", [15.0, 15.0, 15.0, 0.0]),
        z=("target", [-27.0, -27.0, -27.0, 0.0]),
    )
    rois = {"TP": {"center": [-48, 15, -27], "radius": 10}}
    scores, _ = score_rois([fit], ceilings(), {**SPEC, "rois": rois})
    assert set(scores["roi"]) == {"TP", "all"}
    sizes = {s: row(scores, roi="TP", hemisphere=s, layer=-1)["n_targets"] for s in "LR"}
    assert sizes == {"L": 2, "R": 1}


def test_reliable_voxels_are_those_strictly_above_a_percentile_of_the_ceilings(rng):
    fit = made_fit(rng).assign_coords({axis: ("target", np.zeros(4)) for axis in "xyz"})
    rois = {"reliable": {"above_percentile": 50}}
    scores, _ = score_rois([fit], ceilings(values=(0.1, 0.2, 0.2, 0.7)), {**SPEC, "rois": rois})
    found = scores[(scores["roi"] == "reliable") & (scores["layer"] == -1)]
    assert found[["n_targets", "ceiling"]].to_numpy().tolist() == [[1, 0.7]]


@pytest.fixture
def parcels(tmp_path):
    """Two regions of 4 mm voxels: x = -8 and 8, and x = -4 and 4."""
    labels = np.array([7, 2, 0, 2, 7]).reshape(5, 1, 1)
    affine = np.diag([4.0, 4, 4, 1])
    affine[0, 3] = -8
    nib.save(nib.Nifti1Image(labels.astype(np.uint8), affine), tmp_path / "atlas.nii.gz")
    (tmp_path / "atlas.tsv").write_text("index\troi\n7\tOuter\n2\tInner\n")
    return Parcels(tmp_path / "atlas.nii.gz", tmp_path / "atlas.tsv", "roi")


def placed(rng, x) -> xr.Dataset:
    zeros = {axis: ("target", np.zeros(4)) for axis in "yz"}
    return made_fit(rng).assign_coords(x=("target", list(x)), **zeros)


def test_parcels_are_rois_beside_the_others_left_and_right_by_place(rng, parcels):
    fit = placed(rng, (-8.0, -4.0, 8.0, -8.0))
    rois = {"reliable": {"above_percentile": 50}}
    scores, _ = score_rois([fit], ceilings(), {**SPEC, "rois": rois}, parcels=parcels)
    nested = scores[scores["layer"] == -1].set_index(["roi", "hemisphere"])["n_targets"]
    assert set(scores["roi"]) == {"reliable", "Outer", "Inner", "all"}
    assert nested["Outer"].to_dict() == {"L": 2, "R": 1, "both": 3}
    assert nested["Inner"].to_dict() == {"L": 1}


def test_a_parcel_without_voxels_is_refused(rng, parcels):
    with pytest.raises(InputError, match="`Inner` holds no voxel"):
        score_rois([placed(rng, (-8.0, -8.0, 8.0, 0.0))], ceilings(), SPEC, parcels=parcels)


def test_subjects_without_predictions_have_scores_and_leave_inference_to_the_group(rng):
    whole = made_fit(rng, subjects=("01", "02", "03"))
    without = whole.drop_vars(["prediction", "response"])
    expected, _ = score_rois([whole], ceilings(("01", "02", "03")), SPEC)
    found, draws = score_rois([without], ceilings(("01", "02", "03")), SPEC)
    assert np.array_equal(found["r"], expected["r"])
    single = found["subject"] != "group"
    assert found.loc[single, ["ci_low", "ci_high", "p"]].isna().all(axis=None)
    assert np.array_equal(found.loc[~single, "p"], expected.loc[~single, "p"], equal_nan=True)
    assert set(draws["subject"]) == {"group"}


def test_an_roi_without_targets_is_refused(rng):
    fit = made_fit(rng).assign_coords({axis: ("target", np.zeros(4)) for axis in "xyz"})
    rois = {"TP": {"center": [-48, 15, -27], "radius": 10}}
    with pytest.raises(InputError, match="ROI TP holds no target"):
        score_rois([fit], ceilings(), {**SPEC, "rois": rois})
    with pytest.raises(InputError, match="no ROI `IFJ`"):
        score_rois([fit], ceilings(), SPEC, roi="IFJ")


def test_a_target_without_a_ceiling_row_is_refused(rng):
    with pytest.raises(InputError, match="no row for sub-01, target t3"):
        score_rois([made_fit(rng)], ceilings().iloc[:3], SPEC)


def cross_validated(
    rng, gain: float, known: float = 0.0, n: int = 150, width: int = 15
) -> xr.Dataset:
    """Fit a real encoder to targets that follow random features by a gain, each with its noise.

    With `known` they follow other features too, and are fitted beyond these.
    """
    items = pd.DataFrame(
        {"item": np.arange(n).astype(str), "run": "1", "time": np.arange(float(n))}
    )
    folds = make_folds({"scheme": "blocks", "n": 5}, items)
    states = rng.standard_normal((n, width))
    signal = states.sum(axis=1, keepdims=True) / np.sqrt(width)
    nuisance = rng.standard_normal((n, 1))
    response = gain * signal + known * nuisance + rng.standard_normal((n, 60))
    grid = np.logspace(-1, 3, 5)

    def batches():
        yield slice(60), response

    if known:
        kernels = states @ states.T, [nuisance @ nuisance.T]
        [(_, fit)] = fit_banded(*kernels, batches, folds, grid)
    else:
        stimulus = stimulus_of([states], n, "cpu")
        [(_, fit)] = fit_layer(stimulus, batches, folds, Penalties(grid))
    by_fold = ("layer", "fold", "target")
    return xr.Dataset(
        {
            "r_test": (by_fold, fit.r_test[None]),
            "r_inner": (by_fold, fit.r_inner[None]),
            "alpha_index": (by_fold, fit.alpha_index[None]),
            "prediction": (("layer", "sample", "target"), fit.prediction[None]),
            "response": (("sample", "target"), response),
            "test_fold": ("sample", folds.test),
            **({"known": (("sample", "target"), fit.known)} if known else {}),
        },
        coords={
            "layer": [0],
            "run": ("sample", ["1"] * n),
            "target": [f"t{i}" for i in range(60)],
            "subject": ("target", ["01"] * 60),
            "roi": ("target", [f"R{i}" for i in range(60)]),
            "hemisphere": ("target", ["L"] * 60),
        },
        attrs={"n_alphas": 5, "alpha_low": -1.0, "alpha_high": 3.0},
    )


def scored(fit: xr.Dataset) -> pd.DataFrame:
    scores, _ = score_rois([fit], ceilings(values=np.ones(60)), SPEC)
    return scores[(scores["layer"] == -1) & (scores["roi"] != "all")]


def test_encoders_of_noise_are_significant_about_five_percent_of_the_time(rng):
    rates = [(scored(cross_validated(rng, gain=0.0))["p"] <= 0.05).mean() for _ in range(8)]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.03)


def test_intervals_hold_the_expected_score_of_the_whole_procedure(rng):
    rows = [scored(cross_validated(rng, gain=0.5)) for _ in range(8)]
    expected = np.mean([r["r"].mean() for r in rows])
    covered = [((r["ci_low"] <= expected) & (expected <= r["ci_high"])).mean() for r in rows]
    assert expected > 0.25
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)


def test_noise_beyond_a_nuisance_is_significant_at_most_five_percent_of_the_time(rng):
    rates = [(scored(cross_validated(rng, 0.0, known=0.7))["p"] <= 0.05).mean() for _ in range(8)]
    assert np.mean(rates) < 0.08


def test_what_is_beyond_a_nuisance_is_found(rng):
    rows = scored(cross_validated(rng, 0.7, known=0.7))
    # Perfect encoders of both, and of the nuisance alone.
    total = np.sqrt(1 + 2 * 0.7**2)
    assert rows["r"].mean() == pytest.approx((np.sqrt(2) - 1) * 0.7 / total, abs=0.05)
    assert (rows["p"] <= 0.05).mean() > 0.9


def test_intervals_hold_the_expected_gain_over_a_nuisance(rng):
    rows = [scored(cross_validated(rng, 0.7, known=0.7)) for _ in range(8)]
    expected = np.mean([r["r"].mean() for r in rows])
    covered = [((r["ci_low"] <= expected) & (expected <= r["ci_high"])).mean() for r in rows]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)


def test_the_null_of_fixed_predictions_is_that_of_refitting(rng):
    """Permuted responses fitted anew, penalties and all, which the widened null stands in for."""
    n, n_targets, n_permutations = 150, 60, 200
    folds = make_folds(
        {"scheme": "blocks", "n": 5},
        pd.DataFrame({"item": np.arange(n), "run": "1", "time": np.arange(float(n))}),
    )
    states = rng.standard_normal((n, 15))
    gains = np.linspace(0, 0.4, n_targets)
    response = gains * states[:, :1] + rng.standard_normal((n, n_targets))
    blocks = inference.label_blocks(folds.test, 1)
    orders = inference.block_permutations(folds.test, blocks, n_permutations, rng)
    # To the encoder permuted responses are more targets.
    anew = np.hstack([response, *response[orders]])
    [(_, fit)] = fit_layer(
        stimulus_of([states], n, "cpu"),
        lambda: iter([(slice(anew.shape[1]), anew)]),
        folds,
        Penalties(np.logspace(-1, 3, 5)),
    )
    r = fit.r_test.mean(axis=0).reshape(n_permutations + 1, n_targets)
    refitted = (np.sum(r[1:] >= r[0], axis=0) + 1) / (n_permutations + 1)
    null = inference.permuted_correlations(
        response, fit.prediction[:, :n_targets], folds.test, orders
    )
    widened = inference.FOLD_DEPENDENCE * null
    fixed = (np.sum(widened >= r[0], axis=0) + 1) / (n_permutations + 1)
    assert np.corrcoef(refitted, fixed)[0, 1] > 0.9
    assert np.abs(refitted - fixed).mean() < 0.08
    assert np.mean((refitted <= 0.05) == (fixed <= 0.05)) > 0.85

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lmcortex import encoding, storage
from lmcortex.encoding.design import sample_operators, scale_columns, target_batches
from lmcortex.encoding.devices import use_device
from lmcortex.errors import InputError
from lmcortex.folds import make_folds

ALPHAS = {"low": -3, "high": 5, "n": 17, "scale": "trace", "choice": "target"}
SPEC = {
    "dataset": "toy",
    "fit": "shuffled",
    "model": "m",
    "checkpoint": "main",
    "kind": "sentences",
    "response": None,
    "folds": {"scheme": "shuffled", "n": 4, "seed": 0},
    "alphas": ALPHAS,
    "dtype": "float64",
    "predictions": "all",
    "nuisance": [],
}
WORDS = pd.DataFrame({"run": [], "onset": [], "duration": []})


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def sentences(n: int) -> pd.DataFrame:
    items = [f"s{i}" for i in range(n)]
    return pd.DataFrame({"item": items, "run": "1", "time": np.arange(float(n)), "text": "a"})


def recorded(values: np.ndarray, items: pd.DataFrame, subject: str = "01") -> xr.Dataset:
    n_targets = values.shape[1]
    return xr.Dataset(
        {"response": (("sample", "target"), values)},
        coords={
            **{name: ("sample", items[name].to_numpy()) for name in ("item", "run", "time")},
            "target": [f"t{i}" for i in range(n_targets)],
            "roi": ("target", [f"R{i // 2}" for i in range(n_targets)]),
            "hemisphere": ("target", ["LR"[i % 2] for i in range(n_targets)]),
        },
        attrs={"dataset": "toy", "subject": subject},
    )


def fit(layers: dict, values: np.ndarray, items: pd.DataFrame, **changes) -> xr.Dataset:
    responses = encoding.stack_responses([recorded(values, items)], items)
    features = encoding.Features("items", layers)
    return encoding.fit_encoding(features, responses, items, WORDS, {**SPEC, **changes})


def closed_form(features, values, folds, grid):
    """Nested cross-validated ridge, one solve per alpha, in the primal or dual as numpy likes."""

    def predict(train, test, alpha):
        x_mean, y_mean = features[train].mean(0), values[train].mean(0)
        x, y = features[train] - x_mean, values[train] - y_mean
        weights = np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T @ y)
        return (features[test] - x_mean) @ weights + y_mean

    alphas = grid * (features**2).sum() / len(features)
    r = np.empty((folds.n, values.shape[1]))
    r_inner, index = r.copy(), r.astype(int)
    for fold in range(folds.n):
        train, test = folds.outer(fold)
        inner = [(train[a], train[b]) for a, b in folds.inner(fold)]
        tried = [[predict(a, b, alpha) for alpha in alphas] for a, b in inner]
        loss = np.mean(
            [
                [((p - values[b]) ** 2).mean(0) for p in ps]
                for (_, b), ps in zip(inner, tried, strict=True)
            ],
            0,
        )
        index[fold] = loss.argmin(0)
        for t, best in enumerate(index[fold]):
            predicted = predict(train, test, alphas[best])[:, t]
            r[fold, t] = np.corrcoef(predicted, values[test, t])[0, 1]
            r_inner[fold, t] = np.mean(
                [
                    np.corrcoef(ps[best][:, t], values[b, t])[0, 1]
                    for (_, b), ps in zip(inner, tried, strict=True)
                ]
            )
    return r, r_inner, index


@pytest.mark.parametrize("width", [20, 150], ids=["fewer units than samples", "more"])
def test_ridge_agrees_with_a_closed_form_in_float64(rng, width):
    items = sentences(120)
    states = rng.standard_normal((120, width)) * np.logspace(0, 3, width) + 5
    strengths = np.array([0.0, 0.1, 0.3, 1.0, 3.0])
    values = states[:, :5] / states[:, :5].std(0) * strengths + rng.standard_normal((120, 5)) + 7
    found = fit({0: states}, values, items)
    scaled = (states - states.mean(0)) / states.std(0)
    folds = make_folds(SPEC["folds"], items)
    r, r_inner, index = closed_form(scaled, values, folds, np.logspace(-3, 5, 17))
    assert np.array_equal(found["alpha_index"][0], index)
    assert np.abs(found["r_test"][0] - r).max() < 1e-4
    assert np.abs(found["r_inner"][0] - r_inner).max() < 1e-4


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("width", [40, 400], ids=["fewer units than samples", "more"])
def test_ridge_agrees_with_himalaya(rng, width, dtype):
    """The same penalties, but where himalaya's losses of both are equal to 1e-6; r to 1e-5."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV

    set_backend("numpy")
    items = sentences(200)
    states = rng.standard_normal((200, width)) * np.logspace(0, -2, width)
    gains = rng.uniform(0, 2, 100)
    values = states[:, :5] @ rng.standard_normal((5, 100)) * gains + rng.standard_normal((200, 100))
    found = fit({0: states}, values, items, dtype=dtype)
    scaled = (states - states.mean(0)) / states.std(0)
    alphas = np.logspace(-3, 5, 17) * (scaled**2).sum() / 200
    folds = make_folds(SPEC["folds"], items)
    for fold in range(folds.n):
        train, test = folds.outer(fold)
        reference = KernelRidgeCV(
            alphas=alphas, kernel="precomputed", cv=folds.inner(fold), fit_intercept=True
        )
        reference.fit(scaled[train] @ scaled[train].T, values[train])
        theirs = np.abs(np.log(reference.best_alphas_) - np.log(alphas)[:, None]).argmin(0)
        ours = found["alpha_index"][0, fold].to_numpy()
        for t in np.flatnonzero(ours != theirs):
            losses = [
                inner_loss(scaled, values[:, t], folds, fold, alphas[index[t]])
                for index in (ours, theirs)
            ]
            assert abs(losses[0] - losses[1]) < 1e-6
        predicted = reference.predict(scaled[test] @ scaled[train].T)
        r = [np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, values[test].T, strict=True)]
        assert np.abs(found["r_test"][0, fold] - r)[ours == theirs].max() < 1e-5


def inner_loss(features, values, folds, fold, alpha):
    """Return one target's mean squared error at a penalty, over the inner folds of a fold."""
    train = folds.outer(fold)[0]
    losses = []
    for fitted, held in ((train[a], train[b]) for a, b in folds.inner(fold)):
        x = features[fitted] - features[fitted].mean(0)
        y = values[fitted] - values[fitted].mean()
        weights = np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T @ y)
        predicted = (features[held] - features[fitted].mean(0)) @ weights + values[fitted].mean()
        losses.append(((predicted - values[held]) ** 2).mean())
    return np.mean(losses)


def test_delays_are_columns_side_by_side_though_never_put_so(rng):
    items = pd.DataFrame({"item": np.arange(90).astype(str), "run": np.repeat(["1", "2", "3"], 30)})
    items["time"] = np.tile(2.0 * np.arange(30), 3)
    words = pd.DataFrame({"run": np.repeat(["1", "2", "3"], 60), "duration": 0.0})
    words["onset"] = np.tile(np.arange(60.0), 3)
    states = rng.standard_normal((180, 40))
    story = {**SPEC, "kind": "story", "folds": {"scheme": "runs"}}
    story["response"] = {"delays": [2, 4, 6]}
    values = rng.standard_normal((90, 4))
    responses = encoding.stack_responses([recorded(values, items)], items)
    delayed = encoding.fit_encoding(
        encoding.Features("words", {0: states}), responses, items, words, story
    )
    stacked = np.hstack([to(states) for to in sample_operators("words", items, words, story)])
    assert stacked.shape == (90, 120)
    together = encoding.fit_encoding(
        encoding.Features("items", {0: stacked}), responses, items, words, story
    )
    assert np.abs(delayed["prediction"] - together["prediction"]).max() < 1e-6


def test_one_penalty_for_all_targets_is_the_published_protocol(rng):
    """One scikit-learn ridge for each penalty and run, correlated column by column."""
    from sklearn.linear_model import Ridge

    n_runs, n, width = 4, 50, 30
    items = pd.DataFrame({"item": np.arange(n_runs * n).astype(str), "time": 0.0})
    items["run"] = np.repeat([f"{run}" for run in range(n_runs)], n)
    states = rng.standard_normal((n_runs * n, width))
    values = states[:, :3].sum(1, keepdims=True) + 3 * rng.standard_normal((n_runs * n, 20))
    runs = items["run"].astype(int).to_numpy()
    x, y = states.copy(), values.copy()
    for run in range(n_runs):
        for columns in (x, y):
            here = columns[runs == run]
            columns[runs == run] = (here - here.mean(0)) / here.std(0)
    published = {"low": 0, "high": 4, "n": 9, "scale": "none", "choice": "common"}
    found = fit({0: states}, y, items, folds={"scheme": "runs"}, alphas=published)
    grid = np.logspace(0, 4, 9)

    def correlation(train, test, alpha):
        model = Ridge(alpha=alpha, fit_intercept=False).fit(x[train], y[train])
        predicted = model.predict(x[test])
        return [np.corrcoef(y[test][:, t], predicted[:, t])[0, 1] for t in range(20)]

    for run in range(n_runs):
        validation = 1 if run == 0 else 0
        inner = (runs != run) & (runs != validation)
        scores = [np.mean(correlation(inner, runs == validation, alpha)) for alpha in grid]
        best = int(np.argmax(scores))
        assert (found["alpha_index"][0, run] == best).all()
        expected = correlation(runs != run, runs == run, grid[best])
        assert np.abs(found["r_test"][0, run] - expected).max() < 1e-8


def test_targets_fitted_in_batches_equal_targets_fitted_at_once(rng):
    items = sentences(80)
    layers = {0: rng.standard_normal((80, 100))}
    values = layers[0][:, :7] + rng.standard_normal((80, 7))
    responses = encoding.stack_responses([recorded(values, items)], items)
    at_once, in_batches = (
        encoding.fit_encoding(
            encoding.Features("items", layers), responses, items, WORDS, SPEC, batch=batch
        )
        for batch in (7, 3)
    )
    assert np.array_equal(at_once["alpha_index"], in_batches["alpha_index"])
    assert np.abs(at_once["prediction"] - in_batches["prediction"]).max() < 1e-6


def test_predictions_of_single_subjects_are_kept_only_where_they_are_used(rng):
    items = sentences(40)
    layers = {0: rng.standard_normal((40, 5))}
    values = rng.standard_normal((40, 2))
    kept = {}
    for subject in ("01", "average"):
        responses = encoding.stack_responses([recorded(values, items, subject)], items)
        spec = {**SPEC, "predictions": "average"}
        features = encoding.Features("items", layers)
        kept[subject] = encoding.fit_encoding(features, responses, items, WORDS, spec)
    assert "prediction" in kept["average"] and "response" in kept["average"]
    assert "prediction" not in kept["01"] and "response" not in kept["01"]
    assert np.array_equal(kept["01"]["r_test"], kept["average"]["r_test"])


def test_a_planted_signal_is_recovered_and_noise_is_not(rng):
    items = sentences(400)
    states = rng.standard_normal((400, 30))
    signal = states @ rng.standard_normal((30, 20)) / np.sqrt(30)
    noise = rng.standard_normal((400, 20))
    found = fit({0: states}, np.hstack([signal + noise, noise]), items)
    r = found["r_test"][0].mean("fold").to_numpy()
    # Half of the variance is signal, so that a perfect encoder reaches r = .71.
    assert 0.6 < r[:20].mean() < 0.71
    assert abs(r[20:].mean()) < 0.05


def test_targets_that_follow_only_their_neighbours_are_not_predicted_across_a_gap(rng):
    """Slow noise is predicted by slow features of the same time, unless a gap parts the folds."""
    n = 300
    time = np.arange(n)
    states = np.exp(-(((time[:, None] - time[::3]) / 4.0) ** 2))
    kernel = np.exp(-((np.arange(-12, 13) / 4.0) ** 2))
    noise = rng.standard_normal((n + 24, 60))
    values = np.stack([np.convolve(column, kernel, "valid") for column in noise.T], axis=1)
    items = sentences(n)
    leaky = fit({0: states}, values, items)["r_test"].mean()
    blocks = {"scheme": "blocks", "n": 5, "gap": 30}
    clean = fit({0: states}, values, items, folds=blocks)["r_test"].mean()
    assert leaky > 0.9
    assert abs(clean) < 0.05


def test_subjects_fitted_together_equal_subjects_fitted_alone(rng):
    items = sentences(80)
    layers = {layer: rng.standard_normal((80, 100)) for layer in (0, 1)}
    values = [layers[1][:, :3] + rng.standard_normal((80, 3)) * k for k in (1, 2)]
    parts = [
        recorded(v, items, subject) for v, subject in zip(values, ("01", "average"), strict=True)
    ]
    together = encoding.fit_encoding(
        encoding.Features("items", layers),
        encoding.stack_responses(parts, items),
        items,
        WORDS,
        SPEC,
    )
    assert together["subject"].to_numpy().tolist() == ["01"] * 3 + ["average"] * 3
    for i, alone in enumerate(fit(layers, v, items) for v in values):
        part = together.isel(target=slice(3 * i, 3 * i + 3))
        assert np.array_equal(part["alpha_index"], alone["alpha_index"])
        assert np.abs(part["prediction"] - alone["prediction"]).max() < 1e-5


def test_every_sample_is_predicted_in_its_own_fold(rng):
    items = sentences(60)
    states = rng.standard_normal((60, 10))
    values = states[:, :2] + rng.standard_normal((60, 2))
    found = fit({0: states}, values, items)
    for fold in range(4):
        here = (found["test_fold"] == fold).to_numpy()
        for t in range(2):
            r = np.corrcoef(found["prediction"][0, here, t], values[here, t])[0, 1]
            assert found["r_test"][0, fold, t] == pytest.approx(r, abs=1e-5)


def test_constant_columns_are_dropped_and_counted(rng):
    items = sentences(60)
    states = rng.standard_normal((60, 10))
    values = states[:, :2] + rng.standard_normal((60, 2))
    padded = np.hstack([states, np.full((60, 3), 1e4) * (1 + 1e-8 * rng.random((60, 3)))])
    found = fit({0: padded, 1: np.ones((60, 4))}, values, items)
    assert json.loads(found.attrs["n_dropped_columns"]) == [3, 4]
    assert (found["prediction"][0] == fit({0: states}, values, items)["prediction"][0]).all()
    # A layer without information predicts the training mean, whose correlation is 0.
    assert (found["r_test"][1] == 0).all()


@pytest.mark.parametrize("width", [1, 60], ids=["columns", "samples"])
def test_features_that_never_change_while_training_predict_the_training_mean(rng, width):
    """A column that moves in one fold only says nothing to an encoder that never saw it move."""
    items = sentences(40)
    blocks = {"scheme": "blocks", "n": 4}
    states = np.zeros((40, width))
    states[35] = rng.standard_normal(width)
    values = rng.standard_normal((40, 2))
    found = fit({0: states}, values, items, folds=blocks)
    assert np.abs(found["prediction"][0, 30:] - values[:30].mean(0)).max() < 1e-6
    assert found["r_test"][0, 3].to_numpy().tolist() == [0, 0]


def test_a_model_whose_features_are_all_constant_is_refused(rng):
    with pytest.raises(InputError, match="every feature is constant"):
        fit({0: np.ones((40, 4))}, rng.standard_normal((40, 2)), sentences(40))


def test_columns_are_scaled_within_each_run(rng):
    runs = np.repeat(["1", "2"], 30)
    states = rng.standard_normal((60, 4)) + 50 * (runs == "2")[:, None]
    states[runs == "2", 3] = 1.0
    scaled, n_dropped = scale_columns(states, runs)
    assert (scaled.shape, n_dropped) == ((60, 3), 1)
    for run in ("1", "2"):
        assert np.abs(scaled[runs == run].mean(0)).max() < 1e-12
        assert scaled[runs == run].std(0) == pytest.approx(np.ones(3))


def test_features_that_are_not_finite_are_refused_with_their_place(rng):
    states = rng.standard_normal((40, 4))
    states[7, 2] = np.nan
    with pytest.raises(InputError, match="m main layer 3: row 7, unit 2 is nan"):
        fit({3: states}, rng.standard_normal((40, 2)), sentences(40))


def test_another_number_of_feature_rows_is_refused(rng):
    with pytest.raises(InputError, match="39 rows of features, expected 40"):
        fit({0: np.ones((39, 4))}, rng.standard_normal((40, 2)), sentences(40))


def broken(values, kind):
    if kind == "nan":
        values[3, 1] = np.nan
    elif kind == "constant":
        values[:, 1] = 4.0
    return values


@pytest.mark.parametrize(
    ("kind", "message"),
    [("nan", "target t1, sample 3 is nan"), ("constant", "target t1 never changes")],
)
def test_responses_that_cannot_be_fitted_are_refused(rng, kind, message):
    items = sentences(20)
    values = broken(rng.standard_normal((20, 2)), kind)
    with pytest.raises(InputError, match=message):
        list(target_batches(encoding.stack_responses([recorded(values, items)], items), 10))


def test_responses_in_another_order_than_the_items_are_refused(rng):
    items = sentences(20)
    part = recorded(rng.standard_normal((20, 2)), items).isel(sample=slice(None, None, -1))
    with pytest.raises(InputError, match="sample 0 is item `s19`"):
        encoding.stack_responses([part], items)


def test_word_features_pass_through_each_runs_own_response(rng):
    from nilearn.glm.first_level import compute_regressor

    runs = ["1", "2"]
    items = pd.DataFrame({"run": np.repeat(runs, 40), "time": np.tile(2.0 * np.arange(40), 2)})
    onsets = np.sort(rng.uniform(0, 70, (2, 25)), axis=1)
    words = pd.DataFrame({"run": np.repeat(runs, 25), "onset": onsets.ravel(), "duration": 0.3})
    states = rng.standard_normal((50, 3))
    [glover] = sample_operators("words", items, words, {"kind": "story", "response": "glover"})
    on_samples = glover(states)
    for run, rows in enumerate((slice(0, 25), slice(25, 50))):
        events = np.stack([onsets[run], np.full(25, 0.3), states[rows, 1]])
        expected, _ = compute_regressor(events, "glover", 2.0 * np.arange(40))
        assert np.abs(on_samples[40 * run : 40 * run + 40, 1] - expected[:, 0]).max() < 1e-6


def test_each_delay_shifts_a_copy():
    items = pd.DataFrame({"run": "1", "time": 2.0 * np.arange(10)})
    words = pd.DataFrame({"run": "1", "onset": [0.0, 6.0], "duration": [0.0, 0.0]})
    spec = {"kind": "story", "response": {"delays": [2, 4]}}
    early, late = (
        to_samples(np.array([[1.0], [5.0]]))[:, 0].tolist()
        for to_samples in sample_operators("words", items, words, spec)
    )
    assert early == [0, 1, 0, 0, 5, 0, 0, 0, 0, 0]
    assert late == [0, 0, 1, 0, 0, 5, 0, 0, 0, 0]


@pytest.fixture
def features_file(tmp_path):
    arrays = {
        f"{p}/{n:02d}": np.full((4, 2), n, np.float32) for p in ("last", "mean") for n in (0, 1)
    }
    storage.write_arrays(arrays, tmp_path / "f.safetensors", {}, rows="items")
    return tmp_path / "f.safetensors"


def test_features_are_read_by_pooling_and_block_of_layers(features_file):
    rows, layers = encoding.read_features(features_file, "mean", "01-01")
    assert (rows, [(n, x[0, 0]) for n, x in layers.items()]) == ("items", [(1, 1.0)])
    assert list(encoding.read_features(features_file, "mean").layers) == [0, 1]


def test_a_pooling_or_layer_that_was_not_extracted_is_refused(features_file):
    for pooling, layers in (("word", None), ("mean", "00-02")):
        with pytest.raises(InputError, match="extract the features again"):
            encoding.read_features(features_file, pooling, layers)


def test_cuda_without_a_gpu_is_an_error_and_never_a_silent_cpu_run(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no GPU is visible"):
        use_device("cuda")
    assert use_device("auto") == "cpu"


def test_a_fit_survives_its_file(rng, tmp_path):
    """The command's way: variables that are written to a file batch by batch."""
    items = sentences(40)
    states = rng.standard_normal((40, 5))
    values = states[:, :2] + rng.standard_normal((40, 2))
    expected = fit({0: states}, values, items)
    responses = encoding.stack_responses([recorded(values, items)], items)
    features = encoding.Features("items", {0: states})
    for name in ("a.nc", "b.nc"):
        frame = encoding.fit_frame(features, responses, make_folds(SPEC["folds"], items), SPEC)
        variables = encoding.fit_variables(responses, SPEC)
        with storage.growing_dataset(frame, variables, tmp_path / name) as (written, attributes):
            arguments = (features, responses, items, WORDS, SPEC)
            encoding.fill_fit(written, *arguments, device="cpu", batch=2)
            attributes |= {"provenance": {"stage": "fit"}, "n_dropped_columns": "[0]"}
    back = storage.read_dataset(tmp_path / "a.nc")
    xr.testing.assert_equal(back.drop_attrs(), expected.drop_attrs())
    assert back.attrs["n_dropped_columns"] == expected.attrs["n_dropped_columns"]
    assert storage.read_provenance(tmp_path / "a.nc") == {"stage": "fit"}
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()

"""Cross-validated ridge by himalaya, one layer at a time."""

import os
from typing import Any, NamedTuple

import numpy as np

from lmcortex.errors import InputError
from lmcortex.folds import Folds
from lmcortex.inference import correlate

CARDS = ("/dev/nvidiactl", "/dev/kfd")  # device files of NVIDIA and AMD cards on Linux
# Targets that himalaya predicts at once: bounds memory for voxels, one batch for ROI data.
TARGETS_PER_BATCH = 2000


class LayerFit(NamedTuple):
    """One layer's cross-validated ridge.

    `r_test`, `r_inner` and `alpha_index` are (n_folds, n_targets); `prediction` is (n_samples,
    n_targets), out of fold.
    """

    r_test: np.ndarray
    r_inner: np.ndarray
    alpha_index: np.ndarray
    prediction: np.ndarray


def use_device(device: str) -> str:
    """Choose where himalaya computes, for this process.

    Parameters
    ----------
    device : `cpu`, `cuda`, or `auto` (cuda where there is a GPU).

    Returns
    -------
    `cpu` or `cuda`.

    Raises
    ------
    InputError : `cuda` was asked for and there is no GPU.
    """
    from himalaya.backend import set_backend

    # Importing torch takes seconds, so `auto` first looks whether there is a card at all.
    if device == "cuda" or (device == "auto" and any(map(os.path.exists, CARDS))):
        import torch

        if torch.cuda.is_available():
            torch.backends.cuda.matmul.allow_tf32 = False
            set_backend("torch_cuda", on_error="raise")
            return "cuda"
        if device == "cuda":
            raise InputError("device: cuda was asked for, no GPU is visible; use cpu or auto")
    set_backend("numpy", on_error="raise")
    return "cpu"


def fit_layer(scaled: np.ndarray, measured: np.ndarray, folds: Folds, grid: np.ndarray) -> LayerFit:
    """Cross-validate one layer.

    Parameters
    ----------
    scaled : (n_samples, n_columns), z-scored; with no column the prediction is the training mean.
    measured : (n_samples, n_targets).
    grid : (n_alphas,), multiples of trace(K) / n_samples.
    """
    n_samples, n_targets = measured.shape
    shape = (folds.n, n_targets)
    fit = LayerFit(
        r_test=np.zeros(shape),
        r_inner=np.zeros(shape),
        alpha_index=np.full(shape, len(grid) - 1),
        prediction=np.empty((n_samples, n_targets)),
    )
    # One scale for all folds of a layer, so that an index means the same penalty in each:
    # trace(K) is the sum of squares of the features.
    alphas = grid * (scaled**2).sum() / n_samples if scaled.shape[1] else grid
    for fold in range(folds.n):
        train, test = folds.outer(fold)
        if scaled.shape[1]:
            predicted, fit.alpha_index[fold], fit.r_inner[fold] = predict_fold(
                scaled, measured[train], train, test, folds.inner(fold), alphas
            )
        else:
            predicted = np.tile(measured[train].mean(axis=0), (len(test), 1))
        fit.prediction[test] = predicted
        fit.r_test[fold] = correlate(measured[test], predicted)
    return fit


def predict_fold(
    scaled: np.ndarray,
    training: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    inner: list[tuple[np.ndarray, np.ndarray]],
    alphas: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict the test samples of one outer fold by himalaya's ridge.

    Dupré la Tour et al. 2022, NeuroImage 264:119728. Where there are fewer columns than training
    samples the ridge is solved for the columns, else for the samples (a linear kernel): the same
    predictions, whichever matrix is smaller.

    Parameters
    ----------
    scaled : (n_samples, n_columns); centred on every training set by the solver.
    training : (n_train, n_targets) responses.
    train, test : sample indices.
    inner : (training, validation) index pairs within `train`.
    alphas : (n_alphas,).

    Returns
    -------
    predictions (n_test, n_targets), the index of each target's alpha, and its mean correlation
    over the inner folds.
    """
    from himalaya.backend import get_backend
    from himalaya.kernel_ridge import solve_kernel_ridge_cv_eigenvalues
    from himalaya.ridge import solve_ridge_cv_svd

    backend = get_backend()
    fitted, tested = backend.asarray(scaled[train]), backend.asarray(scaled[test])
    solve: Any  # himalaya's annotations know no list of splits, though its docstrings do
    if scaled.shape[1] < len(train):
        solve, design, across = solve_ridge_cv_svd, fitted, tested
    else:
        solve, design, across = (
            solve_kernel_ridge_cv_eigenvalues,
            fitted @ fitted.T,
            tested @ fitted.T,
        )
    scorer = InnerScores()
    solution = solve(
        design,
        backend.asarray(training),
        alphas=backend.asarray(alphas),
        score_func=scorer,
        cv=inner,
        fit_intercept=True,
        n_targets_batch=TARGETS_PER_BATCH,
        n_targets_batch_refit=TARGETS_PER_BATCH,
    )
    chosen, weights, loss, intercept = map(backend.to_numpy, solution)
    predicted = backend.to_numpy(across) @ weights + intercept
    # himalaya keeps weights of 0 where every inner score was NaN: that must never pass for a fit.
    if not (np.isfinite(loss).all() and np.isfinite(predicted).all()):
        raise FloatingPointError("ridge: a prediction is not finite though its input was")
    # The solver gives back exp(log(alpha)), so that values no longer equal the grid's.
    index = np.abs(np.log(chosen)[:, None] - np.log(alphas)).argmin(axis=1)
    r = scorer.correlations(len(inner), training.shape[1])
    return predicted, index, r[:, index, np.arange(len(index))].mean(axis=0)


class InnerScores:
    """Negative mean squared error for the solver to choose by, the correlations kept beside it.

    himalaya calls it once per inner fold and batch of targets, in that order, with the predictions
    of all alphas, so that the correlation at the chosen alpha needs no second pass.
    """

    def __init__(self) -> None:
        self._r: list[np.ndarray] = []

    def __call__(self, measured: Any, predicted: Any) -> Any:
        from himalaya.backend import get_backend
        from himalaya.scoring import correlation_score, l2_neg_loss

        self._r.append(get_backend().to_numpy(correlation_score(measured, predicted)))
        return l2_neg_loss(measured, predicted)

    def correlations(self, n_folds: int, n_targets: int) -> np.ndarray:
        """Return r, (n_folds, n_alphas, n_targets)."""
        r = np.concatenate(self._r, axis=1)
        return r.reshape(r.shape[0], n_folds, n_targets).transpose(1, 0, 2)

"""Ridge encoders, and their scores."""

from typing import NamedTuple

from lmcortex.config import Delays
from lmcortex.costs.features import columns
from lmcortex.costs.machines import (
    CONTEXT_MB,
    CORE,
    CUDA_S,
    DOUBLE,
    FLOAT,
    GPU,
    MIB,
    RIDGE_MB,
    RIDGE_S,
    TABLES_MB,
    TABLES_S,
    host_mb,
    on_gpu,
)
from lmcortex.costs.requests import Cost
from lmcortex.costs.responses import LABEL_BYTES
from lmcortex.costs.tables import SCORE_BYTES, places_of, summaries_of
from lmcortex.plan import Plan

# Constants of modules that are too heavy to import here; a test compares them.
TARGETS_PER_BATCH = 2000
COLUMNS_PER_BATCH = 2000
PERMUTED_S = 2.5e-9  # seconds to fetch one sample of a permuted series and multiply it


class Problem(NamedTuple):
    """The sizes of one fitting job."""

    samples: int
    columns: int
    targets: int
    folds: int
    alphas: int
    layers: int
    feature_rows: int
    width: int  # of a feature row: columns may be delayed copies of it


def problem(plan: Plan, dataset: str, fit: str, model: str, layer: str, subject: str) -> Problem:
    """Say how large a fit is."""
    found, settings = plan.datasets[dataset], plan.fits[fit]
    extent = found.extent()
    first, _, last = layer.partition("-")
    width = columns(plan, dataset, model)
    delays = settings.response.delays if isinstance(settings.response, Delays) else [0.0]
    copies = 1 if model == "position" else len(delays)
    by_run = settings.folds.scheme == "runs" and extent.runs > 1
    return Problem(
        samples=extent.samples,
        columns=width * copies,
        targets=extent.targets * (len(found.fitted_subjects()) if subject == "all" else 1),
        folds=extent.runs if by_run else settings.folds.n,
        alphas=settings.alphas.n,
        layers=int(last or first) - int(first) + 1,
        feature_rows=extent.samples if found.kind == "sentences" else extent.words,
        width=width,
    )


class Solution(NamedTuple):
    """What solving one layer takes: float64 numbers kept, and operations, on a GPU if there is one;
    and operations of the predictions, which are made on the processor."""

    numbers: float
    operations: float
    predicting: float


def solution(sizes: Problem) -> Solution:
    """Count what himalaya does for one layer: each outer fold is solved for once and for each of
    the others, and each time with all penalties at once."""
    n, p, t, k, a = sizes[:5]
    train, inner, test = n * (k - 1) / k, n * (k - 2) / k, n / k
    batch = min(t, TARGETS_PER_BATCH)
    if p < train:  # by the singular values of the columns
        unknowns = p
        decompose, decompose_all = 20 * inner * p**2, 20 * train * p**2
        resolve, resolve_all = 2 * a * p * inner * (p + test), 2 * a * p**2 * train
        kept = a * p * inner
    else:  # by the eigenvalues of the kernel of the samples
        unknowns = train
        decompose, decompose_all = 8 * inner**3, 8 * train**3 + 2 * n * train * p
        resolve, resolve_all = 2 * a * test * inner**2, 2 * a * train**3
        kept = 3 * inner**2
    choose = decompose + resolve + 2 * a * test * inner * t
    refit = decompose_all + resolve_all + 2 * a * unknowns * train * t
    choosing = max(2 * kept, kept + a * test * (inner + 4 * batch))
    refitting = a * unknowns * max(2 * train, train + batch)
    always = 4 * train * p + 2 * train * t + 2 * (k - 1) * a * t + 2 * unknowns * t
    return Solution(
        numbers=always + max(choosing, refitting),
        operations=k * ((k - 1) * choose + refit),
        predicting=k * 2 * test * unknowns * t,
    )


def fit_encoding(plan: Plan, dataset: str, fit: str, model: str, layer: str, subject: str) -> Cost:
    """The solver's arrays, or in the end the predictions of all layers as they are put together."""
    sizes = problem(plan, dataset, fit, model, layer, subject)
    solved = solution(sizes)
    n, t, layers = sizes.samples, sizes.targets, sizes.layers
    operator = sizes.feature_rows * n / plan.datasets[dataset].extent().runs
    states = 2 * sizes.feature_rows * sizes.width + 3 * n * sizes.columns
    predictions = layers * n * t
    while_solving = DOUBLE * (states + predictions)
    # Lists of float64, stacked, and then in float32.
    at_the_end = (2 * DOUBLE + FLOAT) * predictions
    per_fold = layers * sizes.folds * t
    kept = DOUBLE * (4 * n * t + operator + 6 * per_fold)
    results = FLOAT * predictions + (2 * DOUBLE + 2) * per_fold
    disk = (results + (DOUBLE * t + LABEL_BYTES) * n) / MIB

    host = host_mb(plan, RIDGE_MB)
    predicting = layers * solved.predicting / CORE.float64
    if on_gpu(plan):
        memory = host + (kept + max(while_solving, at_the_end)) / MIB
        seconds = RIDGE_S + CUDA_S + layers * solved.operations / GPU.float64 + predicting
        return Cost(memory, seconds, disk, CONTEXT_MB + DOUBLE * solved.numbers / MIB)
    solving = while_solving + DOUBLE * solved.numbers
    memory = host + (kept + max(solving, at_the_end)) / MIB
    return Cost(memory, RIDGE_S + layers * solved.operations / CORE.float64 + predicting, disk)


def score_roi(plan: Plan, dataset: str, fit: str, model: str, roi: str) -> Cost:
    """All fits of the cell, twice while they are joined, and one subject's resampled scores."""
    found, settings = plan.datasets[dataset], plan.fits[fit]
    extent = found.extent()
    n, t, subjects = extent.samples, extent.targets, len(found.fitted_subjects())
    layers = plan.model(model).n_layers + 1
    scored = t if roi == "all" else t / extent.rois
    fits = (FLOAT * layers + DOUBLE) * n * t
    resamples = 2 * DOUBLE * n * (settings.n_resamples + settings.n_permutations)
    batch = min((layers + 1) * scored, COLUMNS_PER_BATCH)
    draws = DOUBLE * (layers + 1) * settings.n_resamples * scored
    null = DOUBLE * settings.n_permutations * scored
    working = max(
        draws + DOUBLE * batch * (8 * settings.n_resamples + 4 * n),
        4 * draws + 2 * null,
    )
    places = places_of(plan, dataset) if roi == "all" else 3
    regions, summaries = places * (subjects + (subjects > 1)), places * summaries_of(plan, dataset)
    kept = regions * DOUBLE * (layers + 1) * settings.n_resamples
    memory = 2 * (subjects + 1) * fits + resamples + working + kept

    # `all` is every ROI, and all targets once more.
    times = subjects * scored * (2 if roi == "all" else 1)
    resampling = 10 * settings.n_resamples * n * (layers + 1) * times / CORE.float64
    permuting = settings.n_permutations * n * times * PERMUTED_S
    rows = (layers + 1) * (SCORE_BYTES * regions + FLOAT * settings.n_resamples * summaries)
    seconds = TABLES_S + resampling + permuting
    return Cost(TABLES_MB + memory / MIB, seconds, rows / MIB)

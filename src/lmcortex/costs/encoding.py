"""Ridge encoders, and their scores."""

from math import ceil
from typing import NamedTuple

from lmcortex import specs
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
PREDICTIONS_AT_ONCE = 2**20
COLUMNS_PER_BATCH = 2000
SHARES = 5  # of a model in the mixtures with nuisances
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
    pairs: int  # of folds, which are held out together
    validations: int  # of a penalty, in all outer folds
    batch: int
    single: bool  # precision of the products with targets
    kept: int  # targets whose predictions are kept
    nuisances: int


def problem(plan: Plan, dataset: str, fit: str, model: str, layer: str, subject: str) -> Problem:
    """Say how large a fit is."""
    found, settings = plan.datasets[dataset], plan.fits[fit]
    extent = found.extent()
    first, _, last = layer.partition("-")
    width = columns(plan, dataset, model)
    delays = settings.response.delays if isinstance(settings.response, Delays) else [0.0]
    copies = 1 if model == "position" else len(delays)
    by_run = settings.folds.scheme == "runs" and extent.runs > 1
    folds = extent.runs if by_run else settings.folds.n
    targets = extent.targets * (len(found.fitted_subjects()) if subject == "all" else 1)
    common = settings.alphas.choice == "common"
    keeps = subject == "average" or specs.kept_predictions(found) == "all"
    return Problem(
        samples=extent.samples,
        columns=width * copies,
        targets=targets,
        folds=folds,
        alphas=settings.alphas.n,
        layers=int(last or first) - int(first) + 1,
        feature_rows=extent.samples if found.kind == "sentences" else extent.words,
        width=width,
        pairs=folds - 1 if common else folds * (folds - 1) // 2,
        validations=folds if common else folds * (folds - 1),
        batch=min(targets, plan.site.targets_per_batch),
        single=specs.target_dtype(found, settings) == "float32",
        kept=targets if keeps else 0,
        nuisances=len(settings.nuisance),
    )


class Solution(NamedTuple):
    """What fitting one layer takes: bytes kept, and operations on stimuli and on targets."""

    bytes: float
    decomposing: float
    predicting: float


def solution(sizes: Problem) -> Solution:
    """Count what `lmcortex.encoding` does for one layer."""
    return banded_ridge(sizes) if sizes.nuisances else ridge(sizes)


def ridge(sizes: Problem) -> Solution:
    """Count what `lmcortex.encoding.ridge` does for one layer."""
    n, p, t, k, a = sizes[:5]
    train, inner, test = n * (k - 1) / k, n * (k - 2) / k, n / k
    size, batch = FLOAT if sizes.single else DOUBLE, sizes.batch
    by_columns = p < train
    rank, rank_inner = (p, p) if by_columns else (train, inner)

    def decompose(m: float, held: float) -> float:
        if by_columns:
            return 8 * p**3 + 4 * m * p**2 + 2 * held * p**2
        return 8 * m**3 + 2 * held * m**2

    predictions = 2 * (a + 1) * test * rank_inner + 4 * a * rank_inner + 2 * a * test
    rotations = (sizes.pairs * inner + sizes.validations * test) * rank_inner + k * (
        train + test
    ) * rank
    working = 3 * train * p + 3 * p**2 if by_columns else 6 * train**2
    at_once = max(test * batch, min(PREDICTIONS_AT_ONCE, a * test * batch))
    of_targets = (
        2 * DOUBLE * n * batch
        + size * (n + inner + rank + 2 * test) * batch
        + size * at_once * (1 + rank / batch)
        + 4 * DOUBLE * k * a * batch
    )
    return Solution(
        bytes=DOUBLE * (n * p if by_columns else n**2)
        + size * rotations
        + max(DOUBLE * working, of_targets),
        decomposing=(0 if by_columns else 2 * n**2 * p)
        + sizes.pairs * decompose(inner, 2 * test)
        + k * decompose(train, test),
        predicting=(sizes.pairs * 2 * inner * rank_inner + sizes.validations * predictions) * t
        + k * 2 * (train + test) * rank * t,
    )


def banded_ridge(sizes: Problem) -> Solution:
    """Count what himalaya's search does for one layer, each batch of targets anew.

    A refit is of all penalties, as if each were some target's.
    """
    n, p, t, k, a = sizes[:5]
    train, inner, test = n * (k - 1) / k, n * (k - 2) / k, n / k
    sets, kernels = 2**sizes.nuisances - 1, 1 + sizes.nuisances
    mixtures = sets + (SHARES - 1) * sets + 1
    splits, batches = k * (k - 1), ceil(t / sizes.batch)
    inverses = splits * (8 * inner**3 + 2 * a * test * inner**2) + k * (8 + 2 * a) * train**3
    predictions = splits * 2 * a * test * inner + k * 2 * a * train**2
    return Solution(
        bytes=DOUBLE
        * (
            (1 + 2 * kernels) * n**2
            + (2 * kernels + 2) * train**2
            + 2 * a * train**2
            + (a * train + 5 * n) * sizes.batch
        ),
        decomposing=2 * n**2 * p + batches * mixtures * inverses,
        predicting=mixtures * predictions * t,
    )


def fit_encoding(plan: Plan, dataset: str, fit: str, model: str, layer: str, subject: str) -> Cost:
    """The decompositions of one layer, and one batch of targets: results are in the file."""
    sizes = problem(plan, dataset, fit, model, layer, subject)
    solved = solution(sizes)
    n, t, layers = sizes.samples, sizes.targets, sizes.layers
    operator = DOUBLE * sizes.feature_rows * n / plan.datasets[dataset].extent().runs
    states = 3 * DOUBLE * n * sizes.width + 2 * DOUBLE * sizes.feature_rows * sizes.width
    responses = DOUBLE * n * t if subject == "all" else 0
    per_fold = layers * sizes.folds * t * (2 * DOUBLE + 2)
    disk = (per_fold + (FLOAT * layers + DOUBLE) * n * sizes.kept + LABEL_BYTES * n) / MIB

    host = host_mb(plan, RIDGE_MB)
    shared = operator + states + responses
    if on_gpu(plan):
        rate = GPU.float32 if sizes.single else GPU.float64
        seconds = solved.decomposing / GPU.float64 + solved.predicting / rate
        memory = host + (shared + 3 * DOUBLE * n * sizes.batch) / MIB
        seconds = RIDGE_S + CUDA_S + layers * seconds
        return Cost(memory, seconds, disk, CONTEXT_MB + solved.bytes / MIB)
    rate = CORE.float32 if sizes.single else CORE.float64
    seconds = solved.decomposing / CORE.float64 + solved.predicting / rate
    return Cost(host + (shared + solved.bytes) / MIB, RIDGE_S + layers * seconds, disk)


def score_roi(plan: Plan, dataset: str, fit: str, model: str, roi: str) -> Cost:
    """Resamples, one subject's scores by fold, and one batch of its targets."""
    found, settings = plan.datasets[dataset], plan.fits[fit]
    extent = found.extent()
    n, t, subjects = extent.samples, extent.targets, len(found.fitted_subjects())
    layers = plan.model(model).n_layers + 1
    folds = extent.runs if settings.folds.scheme == "runs" else settings.folds.n
    scored = t if roi == "all" else t / extent.rois
    draws, permutations = settings.n_resamples, settings.n_permutations
    resamples = 2 * DOUBLE * n * (draws + permutations)
    batch = min(scored, max(1, COLUMNS_PER_BATCH // layers))
    working = DOUBLE * (
        batch * ((layers + 8) * draws + (layers + 6) * n + 2 * permutations) + permutations * n
    )
    places = places_of(plan, dataset) if roi == "all" else 3
    by_fold = DOUBLE * folds * t * (4 * layers + places)
    regions, summaries = places * (subjects + (subjects > 1)), places * summaries_of(plan, dataset)
    kept = regions * DOUBLE * (layers + 1) * draws + 2 * subjects * 2 * layers * folds * scored
    memory = resamples + by_fold + working + kept

    # `all` is every ROI, all targets once more, and once more by parcels.
    chosen = 2 + bool(found.parcel_names()) if roi == "all" else 1
    read = scored * (1 if specs.kept_predictions(found) == "average" else subjects)
    resampling = 6 * draws * n * (layers + 2 * chosen) * read / CORE.float64
    permuting = permutations * n * chosen * read * PERMUTED_S
    rows = (layers + 1) * (SCORE_BYTES * regions + FLOAT * draws * summaries)
    seconds = TABLES_S + resampling + permuting
    return Cost(TABLES_MB + memory / MIB, seconds, rows / MIB)

"""How fast encoders are fitted, beside himalaya, scikit-learn and the least that the products take.

Every way does the same work on the same made-up data: all outer folds of one layer, 17 penalties,
each target's own chosen on the other folds. Each runs in a process of its own, in turn; seconds are
medians. The floor is what the matrix products of targets take at the rate that the largest of them
reaches here, plus the eigendecompositions of all distinct training sets, timed by themselves. The
scores of all ways are compared.

    python benchmarks/encoder.py --cases alice voxels --runs 3
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lmcortex.costs.encoding import Problem, solution
from lmcortex.encoding.ridge import Penalties, fit_layer
from lmcortex.encoding.rotations import stimulus_of
from lmcortex.folds import Folds, make_folds
from lmcortex.inference import correlate

GRID = np.logspace(-3, 5, 17)
BATCH = 2000


class Case(NamedTuple):
    """Sizes: checkpoints, samples, columns, subjects, targets of each; and what folds are."""

    checkpoints: int
    samples: int
    columns: int
    subjects: int
    targets: int
    folds: dict
    dtype: str
    ways: tuple[str, ...]


BLOCKS = {"scheme": "blocks", "n": 5, "gap": 16}
RUNS = {"scheme": "runs"}
ROI_WAYS = ("ours", "himalaya, stacked", "himalaya, one by one", "scikit-learn", "plain")
VOXEL_WAYS = ("ours", "himalaya, stacked")
CASES = {
    "tuckute": Case(
        1, 1000, 768, 1, 6, {"scheme": "shuffled", "n": 5, "seed": 0}, "float64", ROI_WAYS
    ),
    "alice": Case(1, 362, 384, 27, 6, BLOCKS, "float64", ROI_WAYS),
    "alice, training": Case(19, 362, 384, 27, 6, BLOCKS, "float64", ROI_WAYS[:3]),
    "alice, wide": Case(1, 362, 4096, 27, 6, BLOCKS, "float64", ROI_WAYS[:3]),
    "voxels": Case(1, 1000, 768, 1, 10_000, RUNS, "float32", VOXEL_WAYS),
    "voxels, wide": Case(1, 1000, 4096, 1, 10_000, RUNS, "float32", VOXEL_WAYS),
    "many voxels": Case(1, 600, 768, 30, 100_000, RUNS, "float32", ("ours",)),
}
N_RUNS = 5


class Data(NamedTuple):
    features: np.ndarray
    responses: np.ndarray
    folds: Folds


def simulate(case: Case) -> Data:
    """Make z-scored features, and responses of which they explain some."""
    rng = np.random.default_rng(0)
    n = case.samples
    run = np.repeat(np.arange(N_RUNS), -(-n // N_RUNS))[:n] if case.folds is RUNS else np.zeros(n)
    items = pd.DataFrame({"item": np.arange(n).astype(str), "run": run.astype(int).astype(str)})
    items["time"] = 2.0 * np.arange(n)
    features = rng.standard_normal((n, case.columns)) * np.logspace(0, -1, case.columns)
    latent = features[:, :10] @ rng.standard_normal((10, case.targets))
    features = (features - features.mean(0)) / features.std(0)
    # Of many subjects the same voxels again: what is timed does not depend on their values.
    responses = latent / latent.std(0) + 3 * rng.standard_normal((n, case.targets))
    return Data(features, responses, make_folds(case.folds, items))


def ours(case: Case, data: Data) -> np.ndarray:
    n_train = min(len(data.folds.outer(fold)[0]) for fold in range(data.folds.n))
    stimulus = stimulus_of([data.features], n_train, "cpu")
    total = case.targets * case.subjects

    def batches():
        size = min(BATCH, total)
        for start in range(0, total, size):
            places = np.arange(start, min(start + size, total)) % case.targets
            yield slice(start, start + len(places)), data.responses[:, places]

    r = np.empty((data.folds.n, total))
    for where, fit in fit_layer(stimulus, batches, data.folds, Penalties(GRID), dtype=case.dtype):
        r[:, where] = fit.r_test
    return r


def himalaya_stacked(case: Case, data: Data) -> np.ndarray:
    return _himalaya(case, data, np.tile(data.responses, case.subjects))


def himalaya_one_by_one(case: Case, data: Data) -> np.ndarray:
    return np.hstack([_himalaya(case, data, data.responses) for _ in range(case.subjects)])


def _himalaya(case: Case, data: Data, responses: np.ndarray) -> np.ndarray:
    """Fit as its tutorials do: KernelRidgeCV, or RidgeCV where there are fewer columns."""
    import warnings

    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV

    set_backend("numpy")
    alphas = GRID * (data.features**2).sum() / case.samples
    x, y = data.features.astype(case.dtype), responses.astype(case.dtype)
    scores = []
    for fold in range(data.folds.n):
        train, test = data.folds.outer(fold)
        inner = data.folds.inner(fold)
        few = case.columns < len(train)
        solver = {"n_targets_batch": BATCH, "n_targets_batch_refit": BATCH}
        model = (RidgeCV if few else KernelRidgeCV)(
            alphas=alphas, cv=inner, fit_intercept=True, solver_params=solver
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x[train], y[train])
        scores.append(correlate(responses[test], model.predict(x[test])))
    return np.stack(scores)


def scikit_learn(case: Case, data: Data) -> np.ndarray:
    """Fit one Ridge for each penalty and pair of folds, subject by subject."""
    from sklearn.linear_model import Ridge

    def predict(train: np.ndarray, test: np.ndarray, alpha: float | np.ndarray) -> np.ndarray:
        model = Ridge(alpha=alpha).fit(data.features[train], data.responses[train])
        return model.predict(data.features[test])

    return np.hstack([_nested(case, data, predict) for _ in range(case.subjects)])


def plain(case: Case, data: Data) -> np.ndarray:
    """Solve the normal equations of the smaller side anew for each penalty, subject by subject."""
    x, y = data.features, data.responses

    def predict(train: np.ndarray, test: np.ndarray, alpha: float | np.ndarray) -> np.ndarray:
        centre, mean = x[train].mean(0), y[train].mean(0)
        fitted, target = x[train] - centre, y[train] - mean
        held = x[test] - centre
        few = fitted.shape[1] < len(fitted)
        square = fitted.T @ fitted if few else fitted @ fitted.T
        side, across = (fitted.T @ target, held) if few else (target, held @ fitted.T)
        predicted = np.empty((len(test), y.shape[1]))
        for each in np.unique(alpha):
            here = np.flatnonzero(np.broadcast_to(alpha, y.shape[1]) == each)
            weights = np.linalg.solve(square + each * np.eye(len(square)), side[:, here])
            predicted[:, here] = across @ weights + mean[here]
        return predicted

    return np.hstack([_nested(case, data, predict) for _ in range(case.subjects)])


def _nested(case: Case, data: Data, predict: Callable) -> np.ndarray:
    alphas = GRID * (data.features**2).sum() / case.samples
    scores = []
    for fold in range(data.folds.n):
        train, test = data.folds.outer(fold)
        loss = np.mean(
            [
                [
                    ((predict(train[a], train[b], alpha) - data.responses[train[b]]) ** 2).mean(0)
                    for alpha in alphas
                ]
                for a, b in data.folds.inner(fold)
            ],
            axis=0,
        )
        best = alphas[loss.argmin(axis=0)]
        scores.append(correlate(data.responses[test], predict(train, test, best)))
    return np.stack(scores)


WAYS: dict[str, Callable[[Case, Data], np.ndarray]] = {
    "ours": ours,
    "himalaya, stacked": himalaya_stacked,
    "himalaya, one by one": himalaya_one_by_one,
    "scikit-learn": scikit_learn,
    "plain": plain,
}


class Taken(NamedTuple):
    seconds: float
    processor_seconds: float
    mb: float
    r: np.ndarray


def take(way: str, case: Case, data: Data, threads: int) -> Taken:
    """Run one way in a process of its own, and say what it took."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def work() -> None:
        with threadpool_limits(threads):
            WAYS[way](Case(1, 60, 20, 1, 3, RUNS, case.dtype, ()), simulate(SMALL))  # imports
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            wall, processor = time.perf_counter(), time.process_time()
            # Each checkpoint has states of its own; that they are the same here changes no time.
            r = [WAYS[way](case, data) for _ in range(case.checkpoints)][-1]
            taken = time.perf_counter() - wall, time.process_time() - processor
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            send.send(Taken(*taken, (after - before) / 1024, r[:, : case.targets]))

    process = context.Process(target=work)
    process.start()
    taken = receive.recv()
    process.join()
    return taken


SMALL = Case(1, 60, 20, 1, 3, RUNS, "float64", ())


def floor_seconds(case: Case, data: Data, threads: int) -> float:
    """Time the decompositions, and reckon the products of targets at the best rate seen here."""
    n, k = case.samples, data.folds.n
    total = case.targets * case.subjects
    sizes = Problem(
        *(n, case.columns, total, k, len(GRID), 1, n, case.columns),
        pairs=k * (k - 1) // 2,
        validations=k * (k - 1),
        batch=min(BATCH, total),
        single=case.dtype == "float32",
        kept=0,
        nuisances=0,
    )
    outer = len(data.folds.outer(0)[0])
    inner = int((data.folds.train[0] & data.folds.train[1]).sum())
    rng = np.random.default_rng(0)
    with threadpool_limits(threads):
        decompositions = sum(
            times * seconds_of(lambda square=square: np.linalg.eigh(square))
            for times, size in ((sizes.pairs, inner), (k, outer))
            for square in [np.cov(rng.standard_normal((min(size, case.columns), size + 9)))]
        )
        rank = min(inner, case.columns)
        rows = rng.standard_normal((n // k, rank)).astype(case.dtype)
        columns = rng.standard_normal((rank, sizes.batch)).astype(case.dtype)
        product = seconds_of(lambda: rows @ columns)
    rate = 2 * rows.size * sizes.batch / product
    return case.checkpoints * (decompositions + solution(sizes).predicting / rate)


def seconds_of(work: Callable[[], object], times: int = 20) -> float:
    """Return the least time of a few runs: other work on the machine only adds to it."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    for name in args.cases:
        case = CASES[name]
        data = simulate(case)
        floor = floor_seconds(case, data, args.threads)
        print(
            f"\n{name}: {case.checkpoints} x {case.samples} samples, {case.columns} columns, "
            f"{case.subjects} x {case.targets} targets, {data.folds.n} folds, {case.dtype}; "
            f"floor {floor:.2f} s"
        )
        first: Taken | None = None
        results: dict[str, list[Taken]] = {way: [] for way in case.ways}
        for _ in range(args.runs):
            for way in case.ways:
                results[way].append(take(way, case, data, args.threads))
        for way, taken in results.items():
            first = first or taken[0]
            wall = median(each.seconds for each in taken)
            seconds = median(each.processor_seconds for each in taken)
            ours_seconds = median(each.processor_seconds for each in results["ours"])
            print(
                f"  {way:22} {wall:8.2f} s, processor "
                f"{seconds:8.2f} s ({wall / floor:5.1f} floors, {seconds / ours_seconds:5.1f} x "
                f"ours), {median(each.mb for each in taken):6.0f} MB, r within "
                f"{np.abs(taken[0].r - first.r).max():.0e}"
            )


if __name__ == "__main__":
    main()

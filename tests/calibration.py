"""How often each test of the geometry study rejects where there is nothing to find.

Simulates 200 grids of layers by steps without any relation, autocorrelated along both, and counts
rejections at the 5 % level, and how often intervals hold a planted relation. Seeds are fixed.

    python tests/calibration.py
"""

import numpy as np

from lmcortex.inference import interval
from lmcortex.statistics.modules import find_modules, smooth_profiles, standard_points
from lmcortex.statistics.partial import (
    Partial,
    autoregression,
    control_columns,
    layer_bootstrap,
    matched_test,
    shift_p,
)

N = 200
MOST_REJECTIONS = 15
COVERAGE = (0.90, 0.98)
SHAPES = ((6, 10), (12, 19))
AUTOCORRELATIONS = (0.5, 0.8, 0.9)
CONTROLS = ("log step", "steps, depth")
SLOPE = -0.7  # of the planted relation


def smooth(shape: tuple[int, int], rho: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a grid that is autocorrelated along layers and along steps."""
    layers, steps = (np.linalg.cholesky(autoregression(n, rho) + 1e-9 * np.eye(n)) for n in shape)
    return layers @ rng.standard_normal(shape) @ steps.T


def partial_correlations() -> bool:
    print(f"{'partial correlation':42}{'rejections of 200':>27}{'coverage':>18}")
    print(f"{'layers x steps, autocorrelation, control':42}{'matched':>9}{'shift':>9}{'layers':>9}"
          f"{'matched':>9}{'layers':>9}")  # fmt: skip
    passed = True
    for shape in SHAPES:
        depth, steps = np.arange(1, shape[0] + 1) / shape[0], np.geomspace(1, 143000, shape[1])
        for control in CONTROLS:
            partial = Partial(shape, control_columns(control, depth, steps))
            for rho in AUTOCORRELATIONS:
                rejected, covered = simulate(partial, steps, rho)
                row = f"{shape[0]} x {shape[1]}, {rho}, {control}"
                print(f"{row:42}" + "".join(f"{count:9}" for count in rejected)
                      + "".join(f"{share:9.0%}" for share in covered), flush=True)  # fmt: skip
                passed &= rejected[0] <= MOST_REJECTIONS
                passed &= COVERAGE[0] <= covered[0] <= COVERAGE[1] + 0.01
    return passed


def simulate(partial: Partial, steps: np.ndarray, rho: float) -> tuple[list[int], list[float]]:
    rng = np.random.default_rng(20602)
    rejected, covered = np.zeros(3, dtype=int), np.zeros(2)
    planted, trend = SLOPE / np.hypot(1, SLOPE), np.log10(steps)
    for _ in range(N):
        x = smooth(partial.shape, rho, rng)
        y = smooth(partial.shape, rho, rng) + trend
        low, high = interval(layer_bootstrap(partial, x, y, 200, rng))
        rejected += [
            matched_test(partial, x, y).p <= 0.05,
            shift_p(partial, x, y) <= 0.05,
            low > 0 or high < 0,
        ]
        related = SLOPE * x + y
        found = matched_test(partial, x, related)
        low, high = interval(layer_bootstrap(partial, x, related, 200, rng))
        covered += [found.ci_low <= planted <= found.ci_high, low <= planted <= high]
    return rejected.tolist(), (covered / N).tolist()


def modules() -> bool:
    """Test smooth profiles without modules for modules."""
    rng = np.random.default_rng(20603)
    steps = np.geomspace(1, 143000, 10)
    n_tests = 40
    counts: dict[str, int] = {}
    for _ in range(n_tests):
        drawn = standard_points(*(smooth((10, 6), 0.8, rng) for _ in range(2)))
        profiles = smooth_profiles(drawn, 1, rng)[0]
        found = find_modules(profiles[..., 0], profiles[..., 1], steps, rng, n_nulls=99)
        for row in found.nulls[found.nulls["null"] != "shuffle"].itertuples():
            name = f"{row.statistic} against {row.null} profiles"
            counts[name] = counts.get(name, 0) + int(row.p <= 0.05)
    print(f"\nmodules: rejections of {n_tests}")
    for name, count in counts.items():
        print(f"{name:42}{count:9}")
    return all(count <= n_tests * MOST_REJECTIONS / N + 2 for count in counts.values())


if __name__ == "__main__":
    raise SystemExit(0 if partial_correlations() & modules() else 1)

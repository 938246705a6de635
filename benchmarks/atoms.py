"""What learning atoms costs at the size of Llama, and beside plainer ways on a smaller size.

Draws signals of low rank at random, 131,072 neurons x 1,500 samples (a 7B Llama and 37 minutes of
story), learns 64 atoms, and prints seconds and the peak of resident memory, which must stay below
8 GB. Then, on 2,304 x 362 (MiniLM and Alice), the same beside scikit-learn's DictionaryLearning and
beside one Lasso for each neuron. On a busy machine, compare processor time.

    python benchmarks/atoms.py --epochs 8
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.decomposition import DictionaryLearning
from sklearn.linear_model import Lasso

from lmcortex.networks.dictionary import learn_dictionary, sparse_weights

RANK, N_ATOMS, PENALTY = 200, 64, 0.08
MOST_GB = 8
LLAMA, MINILM = (131_072, 1500), (2304, 362)


def low_rank(shape: tuple[int, int]) -> np.ndarray:
    """Draw signals (n_neurons, n_samples) of unit length, float32, some at a time."""
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((RANK, shape[1])).astype(np.float32)
    basis -= basis.mean(axis=1, keepdims=True)
    falling = (1 / np.arange(1, RANK + 1)).astype(np.float32)
    signals = np.empty(shape, np.float32)
    for start in range(0, shape[0], 4096):
        part = signals[start : start + 4096]
        part[:] = (rng.standard_normal((len(part), RANK)).astype(np.float32) * falling) @ basis
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return signals


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall and processor seconds, and what came of it."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - processor, result


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()

    small = low_rank(MINILM)
    print(f"{MINILM[0]} neurons x {MINILM[1]} samples, {N_ATOMS} atoms: wall, processor seconds")
    online = timed(lambda: learn_dictionary(small, N_ATOMS, PENALTY, epochs=args.epochs))
    print(f"  online, {args.epochs} epochs        {online[0]:8.1f}{online[1]:8.1f}"
          f"   mean R2 {online[2].r2.mean():.3f}", flush=True)  # fmt: skip
    plain = DictionaryLearning(
        N_ATOMS, alpha=PENALTY, max_iter=args.epochs, fit_algorithm="cd",
        transform_algorithm="lasso_cd", transform_alpha=PENALTY, random_state=0,
    )  # fmt: skip
    whole = timed(lambda: plain.fit_transform(small.astype(np.float64)))
    left = small - whole[2] @ plain.components_
    print(f"  DictionaryLearning      {whole[0]:8.1f}{whole[1]:8.1f}"
          f"   mean R2 {1 - (left**2).sum(axis=1).mean():.3f}", flush=True)  # fmt: skip
    print(f"  ratio {whole[1] / online[1]:.1f}")

    atoms = online[2].atoms
    together = timed(lambda: sparse_weights(small.astype(np.float64), atoms, PENALTY))
    lasso = Lasso(PENALTY / MINILM[1], fit_intercept=False, tol=1e-8)
    alone = timed(lambda: [lasso.fit(atoms.T, one).coef_ for one in small.astype(np.float64)])
    print(f"codes of all neurons at once{together[0]:6.1f}{together[1]:8.1f}")
    print(f"one Lasso for each neuron   {alone[0]:6.1f}{alone[1]:8.1f}")
    print(f"  ratio {alone[1] / together[1]:.1f}; largest difference "
          f"{np.abs(together[2] - np.array(alone[2])).max():.1e}", flush=True)  # fmt: skip

    large = low_rank(LLAMA)
    wall, processor, found = timed(
        lambda: learn_dictionary(large, N_ATOMS, PENALTY, epochs=args.epochs)
    )
    print(f"{LLAMA[0]} neurons x {LLAMA[1]} samples, {args.epochs} epochs of one seed")
    print(f"  {wall:.0f} s wall, {processor:.0f} s processor, mean R2 {found.r2.mean():.3f}")
    print(f"  peak {peak_gb():.1f} GB (at most {MOST_GB} is wanted)")


if __name__ == "__main__":
    main()

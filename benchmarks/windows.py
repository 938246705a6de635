"""How much faster windows are measured than swap by swap and unit by unit.

Draws a GPT-NeoX at random, swaps every word of made-up sequences of 40 words of one or two tokens,
and fits a mixture to every unit's window at every layer: once as the workflow does (batches, only
the measured words read again on top of the kept prefix, one solver for all units), and once as
published code does (one forward pass for each swapped sequence, scipy for each unit). Prints
medians of a few runs. On a busy machine, compare processor time, on one thread.

    python benchmarks/windows.py --threads 1
"""

import argparse
import time
import warnings

import numpy as np
import torch
from scipy.optimize import OptimizeWarning, curve_fit
from transformers import GPTNeoXConfig

from lmcortex import models
from lmcortex.models.load import initialise
from lmcortex.windows import fits
from lmcortex.windows.differences import HALVES, Sequences, accumulate
from lmcortex.windows.tokens import Special

N_LAGS = 21
TOLERANCE = 1e-5


def one_by_one(sequences: Sequences, model: torch.nn.Module) -> np.ndarray:
    """Return differences by one forward pass for each swapped sequence, batch of one.

    Returns
    -------
    (halves x layers x swapped word x measured word x units).
    """
    halves: list[list[np.ndarray]] = [[] for _ in range(HALVES)]
    for row in range(len(sequences.words)):
        original = word_states(sequences.words[row], sequences.special, model)
        changed = []
        for word, swap in enumerate(sequences.swaps[row]):
            words = list(sequences.words[row])
            words[word] = swap
            changed.append(np.abs(word_states(words, sequences.special, model) - original))
        halves[row % HALVES].append(np.stack(changed, axis=1))
    return np.stack([np.mean(half, axis=0) for half in halves])


def word_states(words: list[list[int]], special: Special, model: torch.nn.Module) -> np.ndarray:
    """Return (layers x words x units), the mean over each word's tokens."""
    tokens = [*special.before, *(token for word in words for token in word), *special.behind]
    states = models.residual_states(model, torch.tensor([tokens]))
    place, means = len(special.before), []
    for word in words:
        means.append(torch.stack([layer[0, place : place + len(word)].mean(0) for layer in states]))
        place += len(word)
    return torch.stack(means, dim=1).numpy()


def scipy_mixture(window: np.ndarray) -> np.ndarray:
    """Fit a mixture as the published code does: exponent, rate, weight."""

    def form(lag: np.ndarray, exponent: float, rate: float, weight: float) -> np.ndarray:
        return weight * (lag + 1) ** -exponent + (1 - weight) * np.exp(-rate * lag)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        found, _ = curve_fit(
            form,
            np.arange(len(window), dtype=float),
            window,
            p0=(1, 1, 0.5),
            bounds=([0, 0, 0], [10, 10, 1]),
        )
    return found


def drawn(n: int, n_words: int, vocabulary: int, rng: np.random.Generator) -> Sequences:
    lengths = rng.choice([1, 1, 1, 2, 2], size=(n, n_words))
    words, swaps = (
        [[rng.integers(vocabulary, size=size).tolist() for size in row] for row in lengths]
        for _ in range(2)
    )
    return Sequences(words, swaps, Special([], []))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = GPTNeoXConfig(
        vocab_size=4096,
        hidden_size=args.width,
        intermediate_size=4 * args.width,
        num_hidden_layers=args.layers,
        num_attention_heads=max(1, args.width // 32),
        use_cache=False,
    )
    model = initialise(config, 1, torch.float32).eval()
    sequences = drawn(args.sequences, 40, 4096, np.random.default_rng(0))
    layers, units = range(args.layers + 1), np.arange(args.width)

    # run x (differences, fits) x (here, one by one) x (wall, processor) seconds
    seconds = np.zeros((args.runs, 2, 2, 2))
    for run in range(args.runs):
        clock = [now()]
        ours = accumulate(sequences, model, n_lags=N_LAGS, layers=layers, units=units, causal=True)[
            "past"
        ]
        clock.append(now())
        plain = one_by_one(sequences, model)
        clock.append(now())
        windows = np.concatenate([fits.integration_windows(layer) for layer in ours.mean(0)[1:]])
        begin = now()
        found = fits.fit_windows(windows).mixture
        clock.append(now())
        theirs = np.stack([scipy_mixture(window) for window in windows])
        clock.append(now())
        seconds[run, 0] = np.diff(clock[:3], axis=0)
        seconds[run, 1] = np.diff([begin, *clock[3:]], axis=0)

    worst = max(
        float(np.abs(ours[:, :, word, lag] - plain[:, :, word, word + lag]).max())
        for word in range(40)
        for lag in range(min(N_LAGS, 40 - word))
    )
    lags = np.arange(N_LAGS, dtype=float)
    error, other = (
        ((fits.mixture(each, lags) - windows) ** 2).sum(axis=1) for each in (found, theirs)
    )
    medians = np.median(seconds, axis=0)
    n_swaps = args.sequences * 40
    print(f"{args.sequences} sequences, {n_swaps} swaps, {len(windows)} windows, "
          f"{args.layers} layers of {args.width} units, {args.threads} thread(s)")  # fmt: skip
    print(f"{'':14}{'here':>18}{'one by one':>20}{'ratio':>16}   (wall, processor seconds)")
    both = np.concatenate([medians, medians.sum(axis=0, keepdims=True)])
    for name, (here, plain_s) in zip(("differences", "fits", "together"), both, strict=True):
        times = plain_s / here
        print(f"{name:14}{here[0]:9.2f}{here[1]:9.2f}{plain_s[0]:11.2f}{plain_s[1]:9.2f}"
              f"{times[0]:8.1f}{times[1]:8.1f}")  # fmt: skip
    print(f"medians of {args.runs} runs; a ratio of at least 5 together is wanted")
    print(f"largest difference {worst:.1e} (at most {TOLERANCE} is wanted)")
    better = np.mean(other - error > 1e-6)
    print(f"squared error above scipy's: at most {(error - other).max():.1e}; "
          f"below it by more than 1e-6: {better:.1%} of windows")  # fmt: skip


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main()

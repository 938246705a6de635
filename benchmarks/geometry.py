"""What measuring geometry costs beside the forward pass, and beside a loop over sentences.

Draws a GPT-NeoX of 24 layers and width 1024 at random, lets it read 1000 made-up sentences, half of
about 8 tokens, as six words make, half of up to 32, and prints the medians of a few runs. On a busy
machine, compare processor time, on one thread. The largest difference from the loop, over all
layers and variants, must stay below 1e-6.

    python benchmarks/geometry.py --threads 2
"""

import argparse
import time
from itertools import pairwise

import numpy as np
import torch
from transformers import GPTNeoXConfig

from lmcortex.features.batches import BATCH_TOKENS, batches
from lmcortex.features.grams import empty_grams, token_gram
from lmcortex.features.sentences import layer_states
from lmcortex.geometry.measure import measure_states
from lmcortex.models.load import initialise

TOLERANCE = 1e-6


def sentence_loop(states: np.ndarray) -> np.ndarray:
    """Measure one sentence at one layer, each definition written out.

    Parameters
    ----------
    states : (tokens x width).

    Returns
    -------
    (with and without the first token x `MEASURES`).
    """
    return np.array([all_variants(states), all_variants(states[1:])])


def all_variants(states: np.ndarray) -> list[float]:
    states = states.astype(np.float64)
    forms = [states, unit_rows(states), unit_rows(centred(states)), unit_rows(centred(states))]
    grams = [form @ form.T for form in forms]
    grams[3] = np.maximum(grams[3], 0)
    nats = [entropy(gram) for gram in grams]
    log_tokens = [np.log(len(form)) if len(form) > 1 else np.nan for form in forms]
    relative = [value / most for value, most in zip(nats, log_tokens, strict=True)]
    return [*nats, *relative, mean_angle(np.diff(states, axis=0)), mean_angle(centred(states))]


def centred(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(axis=0) if len(rows) else rows


def unit_rows(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1)
    return rows[lengths > 0] / lengths[lengths > 0, None]


def entropy(gram: np.ndarray) -> float:
    if not len(gram):
        return np.nan
    eigenvalues = np.linalg.eigvalsh(gram / np.trace(gram))
    eigenvalues = eigenvalues[eigenvalues > 0]
    shares = eigenvalues / eigenvalues.sum()
    return float(-(shares * np.log(shares)).sum())


def mean_angle(rows: np.ndarray) -> float:
    angles = []
    for one, other in pairwise(rows):
        lengths = np.linalg.norm(one) * np.linalg.norm(other)
        if lengths > 0:
            angles.append(np.degrees(np.arccos(np.clip(one @ other / lengths, -1, 1))))
    return float(np.mean(angles)) if angles else np.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = GPTNeoXConfig(
        vocab_size=5000,
        hidden_size=args.width,
        intermediate_size=4 * args.width,
        num_hidden_layers=args.layers,
        num_attention_heads=args.width // 64,
        use_cache=False,
    )
    model = initialise(config, 1, torch.float32).eval()
    rng = np.random.default_rng(0)
    half = args.sentences // 2
    lengths = np.r_[rng.integers(7, 10, half), rng.integers(8, 33, args.sentences - half)]
    groups = list(batches(lengths, BATCH_TOKENS))

    # run x (forward pass, geometry, loop) x (wall, processor) seconds
    seconds, worst = np.zeros((args.runs, 3, 2)), 0.0
    for run in range(args.runs):
        for rows in groups:
            # No token twice in a row: the states of a first word that is said again are equal but
            # for rounding, which the loop would take for a step.
            steps = rng.integers(1, 5000, size=(len(rows), lengths[rows[0]]))
            tokens = torch.from_numpy(steps.cumsum(axis=1) % 5000)
            clock = [now()]
            layers = layer_states(model, tokens)
            clock.append(now())
            grams = empty_grams([lengths[rows[0]]] * len(rows), len(layers))
            for layer, states in enumerate(layers):
                grams.put(layer, np.arange(len(rows)), token_gram(states).numpy())
            measured, _ = measure_states(grams, np.arange(len(rows)))
            clock.append(now())
            plain = [[sentence_loop(one) for one in states.numpy()] for states in layers]
            clock.append(now())
            seconds[run] += np.diff(clock, axis=0)
            difference = np.abs(np.moveaxis(np.array(plain), 1, -1) - measured)
            assert not np.isnan(difference).any(), "these sentences leave nothing undefined"
            worst = max(worst, float(difference.max()))

    forward, geometry, loop = np.median(seconds, axis=0)
    print(f"{args.sentences} sentences, {lengths.sum()} tokens, {len(groups)} forward passes")
    print(f"{'':22}{'wall':>10}{'processor':>12}   (seconds, medians of {args.runs})")
    for name, (wall, processor) in zip(
        ("forward pass", "geometry", "loop over sentences"), (forward, geometry, loop), strict=True
    ):
        print(f"{name:22}{wall:10.2f}{processor:12.2f}")
    shares, times = geometry / forward, loop / geometry
    print(f"geometry / forward    {shares[0]:10.1%}{shares[1]:12.1%}   (at most 10 % is wanted)")
    print(f"loop / geometry       {times[0]:10.1f}{times[1]:12.1f}")
    print(f"largest difference {worst:13.1e}               (at most {TOLERANCE} is wanted)")


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main()

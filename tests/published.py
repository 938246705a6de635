"""What the statistics of this workflow say of the scores that a paper shows, beside what it says.

The values of each model in Bonnasse-Gahot & Pallier (2024, arXiv:2405.17992), read off its figures,
become study tables; `fit_scaling` and `control_scaling` are applied to them, and their results
printed with those of the paper. Ours are also computed from values that are moved as far as reading
may be off, and swapped where two markers cannot be told apart: so far may the two results differ.

    python tests/published.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lmcortex import registry, statistics
from lmcortex.statistics.collect import DRAWS_KEY

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
PAPER = "bonnasse-gahot-2024"
MODELS = registry.load_models(ROOT / "config")
# How far a value may be off: a pixel of its figure, and half of the last digit in the file.
READING = {
    "whole": 1.2e-4 + 0.5e-4,
    "top25": 1.9e-4 + 0.5e-4,
    "diff_whole": 2.2e-5 + 0.5e-5,
    "diff_p90": 9.0e-5 + 0.5e-4,
    "diff_top25": 6.9e-5 + 0.5e-4,
    "diff_normalized": 1.1e-4 + 0.5e-4,
}
TWIN_READING = 2e-4 + 0.5e-4
AMBIGUOUS = ["diff_whole", "diff_p90", "best_layer"]  # of the first two models
N_SHIFTS = 40
WHERE = ["dataset", "role", "roi", "outcome", "models", "method", "predictor"]


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(DATA / f"{PAPER}-{name}.csv", comment="#", keep_default_na=False)


# --- study tables of published values -------------------------------------------------------------


def study_tables(rng: np.random.Generator | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `scores` and `draws` as if a study had given the published values.

    Parameters
    ----------
    rng : moves each value up or down as far as it may be off; without it none is moved.
    """
    return _tables([*_english(read("models"), rng), *_twins(read("twins"), rng)])


def _tables(rows: list[dict]) -> tuple[pd.DataFrame, pd.DataFrame]:
    scores = pd.DataFrame(rows).assign(subject="average", fit="published")
    nested = scores[scores["layer"] == -1]
    draws = nested[[*DRAWS_KEY, "r"]].rename(columns={"r": "draws"})
    return scores, draws.assign(draws=[np.full(2, r) for r in draws["draws"]])


def _moved(values: pd.Series, most: float, rng: np.random.Generator | None) -> pd.Series:
    return values if rng is None else values + most * rng.choice([-1.0, 1.0], len(values))


def _english(models: pd.DataFrame, rng: np.random.Generator | None) -> Iterator[dict]:
    for name, most in READING.items():
        models[name] = _moved(models[name], most, rng)
    if rng is not None and rng.random() < 0.5:
        models.loc[[0, 1], AMBIGUOUS] = models.loc[[1, 0], AMBIGUOUS].to_numpy()
    for row in models.to_dict("records"):
        about = _about(row["model"], "english")
        yield from _sides(about, "whole", row["whole"], row["diff_whole"])
        yield from _sides(about, "top25", row["top25"], row["diff_top25"], row["diff_normalized"])
        yield from _sides(about, "p90", 0.5, row["diff_p90"])  # only the difference is known
        # The paper counts the embeddings as a layer, so that its depth is layer / (L + 1).
        depth = row["best_layer"] / about["n_layers"]
        best = {"layer": row["best_layer"], "roi": "top25", "hemisphere": "both"}
        yield {**about, **best, "depth": depth, "r": row["top25"]}


def _twins(twins: pd.DataFrame, rng: np.random.Generator | None) -> Iterator[dict]:
    for role, checkpoint in (("trained", "main"), ("untrained", "untrained-seed1")):
        for model, gap in zip(twins["model"], _moved(twins[role], TWIN_READING, rng), strict=True):
            about = _about(model, MODELS[model].family)
            seen = {"role": role, "checkpoint": checkpoint, "final": role == "trained"}
            yield from _sides({**about, **seen}, "top25", 0.4, gap)


def built_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return tables of models of the paper's sizes with exactly the correlations it states."""
    rows: list[dict] = []
    panels = _panels()
    for stated in read("correlations").to_dict("records"):
        names = panels[stated["models"]]
        size = np.log([MODELS[name].n_params for name in names])
        basis, _ = np.linalg.qr(np.stack([np.ones(len(size)), size, size**2], axis=1))
        along, across = basis[:, 1] * np.sign(basis[:, 1] @ size), basis[:, 2]
        values = stated["r"] * along + np.sqrt(1 - stated["r"] ** 2) * across
        dataset = f"{stated['outcome']} of {stated['models']}"
        for name, value in zip(names, values / 100, strict=True):
            gap, score = (value, 0.5) if stated["outcome"] == "difference" else (0.0, value)
            rows += _sides(_about(name, dataset), stated["roi"], score, gap)
    return _tables(rows)


def _panels() -> dict[int, list[str]]:
    """Return the models of the panels of the paper, by how many they are."""
    return {len(models): list(models["model"]) for models in (read("models"), read("twins"))}


def _sides(
    about: dict, roi: str, score: float, gap: float, relative: float = np.nan
) -> Iterator[dict]:
    for side, sign in (("L", 0.5), ("R", -0.5), ("both", 0.0)):
        r, normalized = score + sign * gap, 0.7 + sign * relative
        place = {"layer": -1, "roi": roi, "hemisphere": side, "depth": np.nan}
        yield {**about, **place, "r": r, "r_normalized": normalized, "ceiling": r / normalized}


def _about(model: str, dataset: str) -> dict:
    entry = MODELS[model]
    return {
        "dataset": dataset,
        "model": model,
        "checkpoint": "main",
        "role": "trained",
        "final": True,
        "step": np.nan,
        "tokens_seen": np.nan,
        "family": entry.family,
        "n_params": entry.n_params,
        "width": entry.width,
        "n_layers": entry.n_layers + 1,
        "perplexity": entry.perplexity,
        "benchmark": entry.benchmark,
    }


# --- comparison -----------------------------------------------------------------------------------


def compare(n_shifts: int) -> pd.DataFrame:
    """Return one row per published result: `ours`, `published` and their `difference`.

    `low` and `high` bound ours over `n_shifts` sets of moved values; `inside` says whether the
    published result, of which so many digits are printed, lies between them.
    """
    wanted = read("results").astype({"published": str})
    moved = [study_tables(np.random.default_rng(seed)) for seed in range(n_shifts)]
    found = np.stack([_ours(wanted, *tables) for tables in (study_tables(), *moved)])
    published = wanted["published"].astype(float).to_numpy()
    half = wanted["published"].map(half_digit).to_numpy()
    low, high = found.min(axis=0), found.max(axis=0)
    return wanted.assign(
        ours=found[0],
        published=published,
        difference=found[0] - published,
        low=low,
        high=high,
        inside=(published >= low - half) & (published <= high + half),
    )


def _ours(wanted: pd.DataFrame, scores: pd.DataFrame, draws: pd.DataFrame) -> np.ndarray:
    tables = {
        "scaling": statistics.fit_scaling(scores, draws),
        "scaling_controls": statistics.control_scaling(scores, draws),
    }
    values = []
    for row in wanted.to_dict("records"):
        table = tables[row["table"]]
        table = table[table["hemisphere"] == "both"]
        for name in WHERE:
            if name in table:
                table = table[table[name] == row[name]]
        values.append(float(table[row["column"]].item()))
    return np.array(values)


def half_digit(printed: str) -> float:
    """Return half a unit of the last digit of a number as it is printed."""
    digits, _, exponent = printed.partition("e")
    return 0.5 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def compare_p() -> pd.DataFrame:
    """Return ours and the published p of correlations whose values per model are not known.

    A correlation printed with two digits lies within .005, and p between those of its bounds.
    """
    scaling = statistics.fit_scaling(*built_tables())
    found = scaling[(scaling["predictor"] == "log10_params") & (scaling["hemisphere"] == "both")]
    found = found.set_index(["dataset", "roi", "outcome"])["p"]
    rows = read("correlations")
    datasets = rows["outcome"] + " of " + rows["models"].astype(str)
    key = zip(datasets, rows["roi"], rows["outcome"], strict=True)
    return rows.assign(ours=[found.loc[place] for place in key]).rename(columns={"p": "published"})


def main() -> int:
    table = compare(N_SHIFTS)
    shown = [*WHERE, "column", "ours", "published", "difference", "low", "high", "inside"]
    print(table[shown].to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    outside = table[~table["inside"]]
    print(
        f"{len(table) - len(outside)} of {len(table)} are within what a pixel and rounding allow\n"
    )
    print("p of correlations whose values per model are not known:")
    print(compare_p().to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    return int(not outside.empty)


if __name__ == "__main__":
    sys.exit(main())

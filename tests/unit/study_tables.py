"""Tables of an imaginary study, with plausible numbers, for the tests of figures and pages.

Two datasets: `story` (simulated; 6 subjects, 6 ROIs on both sides) and `sentences` (recorded; one
average subject, 6 ROIs on the left), the models of a small suite at several steps, their untrained
twins, baselines, and planted pseudo-models in the simulated one.
"""

import numpy as np
import pandas as pd

STORY_ROIS = ("ATL", "PTL", "IPL", "IFG", "MFG", "AG")
SENTENCE_ROIS = ("netw", "IFGorb", "IFG", "MFG", "AntTemp", "PostTemp")
SIZES = {"suite-s": 270_000, "suite-m": 1_100_000, "suite-l": 4_200_000}
LAYERS = {"suite-s": 2, "suite-m": 4, "suite-l": 6}
STEPS = {"suite-s": (0, 64, 2000), "suite-m": (0, 64, 2000)}
LARGE_STEPS = (0, 16, 64, 256, 512, 1000, 2000)
PLANTED = (10**5, 10**6, 10**7, 10**8, 10**9, 10**10)


def cells(simulated: bool) -> list[dict]:
    """Return what the study runs: one row per (model, checkpoint)."""
    runs = []
    for model, size in SIZES.items():
        shared = {"family": "suite", "model": model, "n_params": size, "n_layers": LAYERS[model]}
        for step in STEPS.get(model, LARGE_STEPS):
            level = 0.12 + 0.05 * np.log10(size / 1e5) * step / (step + 150)
            runs.append(
                {
                    **shared,
                    "checkpoint": f"step{step}",
                    "role": "trained",
                    "step": step,
                    "level": level,
                }
            )
        runs.append({**shared, "checkpoint": "untrained-seed1", "role": "untrained", "level": 0.11})
    for model, checkpoints, level in (
        ("word-rate", ["main"], 0.10),
        ("position", ["main"], 0.03),
        ("random-embedding", [f"seed{seed}" for seed in range(1, 6)], 0.14),
    ):
        for index, checkpoint in enumerate(checkpoints):
            runs.append(
                {
                    "family": "baseline",
                    "model": model,
                    "checkpoint": checkpoint,
                    "role": "baseline",
                    "n_layers": 0,
                    "level": level + 0.004 * index,
                }
            )
    if simulated:
        for size in PLANTED:
            runs.append(
                {
                    "family": "planted",
                    "model": f"planted-{size}",
                    "checkpoint": "step1000",
                    "role": "planted",
                    "n_params": size,
                    "n_layers": 4,
                    "step": 1000,
                    "level": 0.02 + 0.03 * np.log10(size / 1e5),
                }
            )
    return runs


def scores() -> pd.DataFrame:
    """Return the master table of both datasets."""
    rng = np.random.default_rng(0)
    rows = []
    for dataset, fits, rois, sides, people in (
        ("sentences", ("shuffled-5", "blocked-5"), SENTENCE_ROIS, "L", ["average"]),
        ("story", ("story-5",), STORY_ROIS, "LR", [*(f"0{i}" for i in range(1, 7)), "average"]),
    ):
        for fit in fits:
            for run in cells(dataset == "story"):
                for place, roi in enumerate(rois):
                    for side in sides:
                        gain = 1 - 0.07 * place + (0.06 if side == "L" else 0)
                        ceiling = 0.46 + 0.02 * place
                        rows += _cell(rng, run, dataset, fit, roi, side, gain, ceiling, people)
    table = pd.DataFrame(rows).drop(columns="level")
    table["tokens_seen"] = table["step"] * 2048
    table["depth"] = (table["layer"] / table["n_layers"].clip(lower=1)).where(table["layer"] >= 0)
    table["n_targets"], table["r_sd_folds"], table["alpha_median"] = 1, 0.04, 10.0
    table["alpha_at_edge"], table["p"], table["q"] = 0.0, 0.001, 0.002
    table["r_normalized"] = table["r"] / table["ceiling"]
    return table


def _cell(rng, run, dataset, fit, roi, side, gain, ceiling, people) -> list[dict]:
    key = {**run, "dataset": dataset, "fit": fit, "roi": roi, "hemisphere": side}
    layers = range(run["n_layers"] + 1)
    choice = min(run["n_layers"], 3)
    rows = []
    for subject in people:
        scale = gain * (1.0 if subject == "average" else rng.uniform(0.4, 0.8))
        best = scale * run["level"] + rng.normal(0, 0.006)
        for layer in layers:
            r = best - 0.03 * scale * abs(layer - choice) / max(run["n_layers"], 1)
            share = 0.8 if layer == choice else 0.2 if layer == choice - 1 else 0.0
            rows.append(
                {
                    **key,
                    "subject": subject,
                    "layer": layer,
                    "r": r,
                    "ceiling": ceiling,
                    "selected_share": share,
                    "ci_low": np.nan,
                    "ci_high": np.nan,
                }
            )
        rows.append(
            {
                **key,
                "subject": subject,
                "layer": -1,
                "r": best - 0.003,
                "ceiling": ceiling,
                "selected_share": np.nan,
                "ci_low": best - 0.05,
                "ci_high": best + 0.04,
            }
        )
    if len(people) > 1:
        rows += _group(rows, people[:-1])
    return rows


def _group(rows: list[dict], subjects: list[str]) -> list[dict]:
    table = pd.DataFrame(rows)
    table = table[table["subject"].isin(subjects)]
    grouped = []
    for _, layer in table.groupby("layer"):
        mean, spread = layer["r"].mean(), layer["r"].std() / np.sqrt(len(layer))
        nested = layer["layer"].iloc[0] == -1
        grouped.append(
            {
                **layer.iloc[0].to_dict(),
                "subject": "group",
                "r": mean,
                "ci_low": mean - 2 * spread if nested else np.nan,
                "ci_high": mean + 2 * spread if nested else np.nan,
            }
        )
    return grouped


def training(scores: pd.DataFrame) -> pd.DataFrame:
    """Return onsets of the models with steps: half of the gain comes at step 150."""
    key = ["dataset", "fit", "model", "subject", "roi", "hemisphere"]
    rows = scores[(scores["role"] == "trained") & (scores["layer"] == -1)]
    table = rows.drop_duplicates(key)[key].reset_index(drop=True)
    return table.assign(
        onset50=150.0,
        onset50_ci_low=80.0,
        onset50_ci_high=400.0,
        onset90=1350.0,
        late_gain=0.01,
        variability=0.004,
    )


def scaling(scores: pd.DataFrame) -> pd.DataFrame:
    """Return least-squares laws through the final trained models' nested scores."""
    key = ["dataset", "fit", "subject", "roi", "hemisphere"]
    rows = scores[
        (scores["role"] == "trained") & (scores["layer"] == -1) & (scores["step"] == 2000)
    ]
    laws = []
    for names, group in rows.groupby(key):
        slope, intercept = np.polyfit(np.log10(group["n_params"].astype(float)), group["r"], 1)
        laws.append(
            {
                **dict(zip(key, names, strict=True)),
                "role": "trained",
                "outcome": "r",
                "predictor": "log10_params",
                "intercept": intercept,
                "slope": slope,
                "ci_low": slope - 0.02,
                "ci_high": slope + 0.02,
                "pearson_r": 0.9,
                "p": 0.02,
                "n_models": len(group),
            }
        )
    return pd.DataFrame(laws)


def lateralization(scores: pd.DataFrame) -> pd.DataFrame:
    """Return left, right and their difference wherever an ROI has both sides."""
    key = ["dataset", "fit", "model", "checkpoint", "subject", "roi"]
    rows = scores[scores["layer"] == -1]
    wide = rows.pivot_table(index=key, columns="hemisphere", values="r").dropna().reset_index()
    wide = wide.rename(columns={"L": "left", "R": "right"})
    wide["difference"] = wide["left"] - wide["right"]
    about = rows.drop_duplicates(key)[[*key, "role", "n_params", "step"]]
    wide = wide.merge(about, on=key)
    return wide.assign(ci_low=wide["difference"] - 0.02, ci_high=wide["difference"] + 0.02, p=0.05)


def emergence(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the differences of networks less those of their twins and of baselines."""
    sides = lateralization(scores)
    where = ["dataset", "fit", "subject", "roi"]
    networks = sides[sides["role"].isin(["trained", "planted"])]
    twins = sides[sides["role"] == "untrained"]
    others = sides[sides["role"] == "baseline"].drop_duplicates([*where, "model"])
    pairs = [
        networks.merge(twins, on=[*where, "model"], suffixes=("", "_against")),
        networks.merge(others, on=where, suffixes=("", "_against")),
    ]
    table = pd.concat(pairs, ignore_index=True)
    table["against"] = table["model_against"].fillna("untrained")
    table["gain"] = table["difference"] - table["difference_against"]
    last = (table["step"] == 2000) | (table["role"] == "planted")
    ends = {"ci_low": table["gain"] - 0.02, "ci_high": table["gain"] + 0.02}
    return table.assign(final=last, p=0.05, **ends)


def ceiling(dataset: str) -> pd.DataFrame:
    """Return the ceilings of a dataset: published ones, or those of six subjects and their mean."""
    rng = np.random.default_rng(1)
    simulated = dataset == "story"
    people = [f"0{i}" for i in range(1, 7)] if simulated else []
    rows = []
    for roi in STORY_ROIS if simulated else SENTENCE_ROIS:
        for side in "LR" if simulated else "L":
            place = {
                "dataset": dataset,
                "target": f"{side}_{roi}",
                "roi": roi,
                "hemisphere": side,
                "n_subjects": max(len(people), 1),
            }
            rows += [
                {
                    **place,
                    "subject": subject,
                    "ceiling": rng.uniform(0.15, 0.4),
                    "source": "leave-one-out ISC",
                }
                for subject in people
            ]
            rows.append(
                {
                    **place,
                    "subject": "average",
                    "ceiling": rng.uniform(0.45, 0.6),
                    "source": "Spearman-Brown" if people else "published",
                }
            )
    return pd.DataFrame(rows)


def quality() -> pd.DataFrame:
    """Return facts about both datasets."""
    facts = [
        ("sentences", "", "items", 1000, ""),
        ("sentences", "", "words", 6000, ""),
        ("sentences", "average", "responses", 1000, ""),
        ("sentences", "average", "targets", 6, ""),
        ("story", "", "items", 300, ""),
        ("story", "", "words", 2000, "run 1"),
        ("story", "", "words without onset", 3, "run 1"),
        *(("story", f"0{i}", "samples", 300, "of 310") for i in range(1, 7)),
        *(("story", f"0{i}", "dropped targets", i, "constant") for i in range(1, 7)),
    ]
    table = pd.DataFrame(facts, columns=["dataset", "subject", "measure", "value", "detail"])
    return table.assign(target="", roi="", hemisphere="")


def contrasts(scores: pd.DataFrame) -> pd.DataFrame:
    """Return differences to each baseline; only suite-l, on the left, beats them all."""
    nested = scores[(scores["layer"] == -1) & scores["subject"].isin(["group", "average"])]
    last = nested[(nested["role"] == "trained") & (nested["step"] == 2000)]
    where = ["dataset", "fit", "subject", "roi", "hemisphere"]
    pairs = last.merge(nested[nested["role"] == "baseline"], on=where, suffixes=("_a", "_b"))
    pairs["difference"] = pairs["r_a"] - pairs["r_b"]
    best = (pairs["model_a"] == "suite-l") & (pairs["hemisphere"] == "L")
    pairs["ci_low"] = np.where(best, 0.01, -0.02)
    pairs["ci_high"], pairs["p"] = pairs["difference"] + 0.05, 0.04
    kept = ["model_a", "checkpoint_a", "model_b", "checkpoint_b", "difference", "ci_low"]
    return pairs[[*where, *kept, "ci_high", "p"]]


def truth_recovery() -> pd.DataFrame:
    """Return planted and recovered effects; one, the onset50 of IFG, lies outside its interval."""
    rows = []
    for effect, unit, size in (
        ("hemisphere", "left - right, r", 0.06),
        ("size_slope", "r / ceiling per log10(parameters)", 0.03),
        ("onset50", "step", 256.0),
        ("score", "r / ceiling", 0.5),
    ):
        for place, roi in enumerate(STORY_ROIS):
            planted = size * (1 - 0.08 * place)
            missed = effect == "onset50" and roi == "IFG"
            found = planted * (1.4 if missed else 1.05)
            rows.append(
                {
                    "dataset": "story",
                    "fit": "story-5",
                    "effect": effect,
                    "model": "planted-100000000",
                    "subject": "average",
                    "roi": roi,
                    "hemisphere": "both" if effect == "hemisphere" else "L",
                    "planted": planted,
                    "recovered": found,
                    "ci_low": found - 0.2 * planted,
                    "ci_high": found + 0.2 * planted,
                    "inside": not missed,
                    "unit": unit,
                    "note": "",
                }
            )
    return pd.DataFrame(rows)


def provenance() -> pd.DataFrame:
    """Return what made the outputs of two stages."""
    shared = {"spec": "{}", "git_commit": "0" * 40, "numpy": "2.3.1", "torch": None, "threads": 1}
    empty = dict.fromkeys(("tokenizer_hash", "text_hash", "device", "dtype", "tf32"))
    made = {**shared, **empty, "stage": "fetch_checkpoint", "code": "aaaaaaaaaaaa"}
    fitted = {**shared, **empty, "stage": "fit_encoding", "code": "bbbbbbbbbbbb", "device": "cuda"}
    rows = [
        {
            **made,
            "path": f"results/models/{model}/step2000.json",
            "commit": "c0ffee",
            "fingerprint": "f" * 64,
            "wall_s": 2.0,
            "peak_mb": 200.0,
        }
        for model in SIZES
    ]
    rows.append(
        {
            **fitted,
            "path": "results/datasets/story/encoding/x.nc",
            "commit": None,
            "fingerprint": None,
            "wall_s": 30.0,
            "peak_mb": 900.0,
        }
    )
    return pd.DataFrame(rows)

"""From geometry and scores to claims: planted modules, relations and onsets are found."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from lmcortex.config import Geometry
from lmcortex.geometry.variants import CURVATURES, ENTROPIES, FIRST_TOKEN, MEASURES
from lmcortex.scores import KEY
from lmcortex.statistics.claims import STATEMENTS, Finding, judge_claims, verdict
from lmcortex.statistics.collect import collect_draws
from lmcortex.statistics.geometry import (
    LAST_LAYERS,
    VARIANT,
    collect_geometry,
    first_choices,
    grids,
    resample_sentences,
)
from lmcortex.statistics.geometry_brain import relate_geometry
from lmcortex.statistics.module_tables import FIRST_CHOICE, choices, cluster_layers, score_modules
from lmcortex.statistics.onsets import contrast_onsets

STEPS = np.array([0, 1, 4, 16, 64, 256, 1000, 4000])
SIZES = {"tiny": 1e6, "small": 1e7, "large": 1e8}
N_LAYERS, N_DRAWS = 8, 50
LOW = np.arange(1, N_LAYERS + 1) <= 4  # the planted module: the first four layers
ABOUT = {
    "role": "trained", "family": "toy", "tokens_per_step": 1000.0, "final": "step4000",
    "perplexity": None, "benchmark": None, "n_layers": N_LAYERS,
}  # fmt: skip
SPEC = {"seed": 0, "geometry": Geometry().model_dump()}
DRAWS = [*KEY, "draws"]


def planted(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw entropy and curvature (layers x steps): from step 4 on, low in the first four layers."""
    on = (STEPS >= 4) * 1.0
    shape = np.where(LOW, -1.0, 1.0)[:, None] * on
    noise = 0.1 * rng.standard_normal((2, N_LAYERS, len(STEPS)))
    return 3 + shape + noise[0], 110 + 5 * shape + 5 * noise[1]


def geometry_of(model: str, entropy: np.ndarray, curvature: np.ndarray) -> list[pd.DataFrame]:
    """Write what `measure_geometry` would, all variants alike, with embeddings and normed state."""
    runs = []
    for place, step in enumerate(STEPS):
        rows = []
        for measure, variant, unit in MEASURES:
            values = (entropy if measure == "entropy" else curvature)[:, place]
            states = [(0, "residual", values.mean())]
            states += [(layer + 1, "residual", value) for layer, value in enumerate(values)]
            states.append((N_LAYERS, "normed", values[-1]))
            for first in FIRST_TOKEN:
                for layer, state, value in states:
                    row = {"layer": layer, "state": state, "measure": measure, "variant": variant}
                    row |= {"unit": unit, "first_token": first, "mean": value, "sd": 1.0, "se": 0.1}
                    row |= {"n_sentences": 3, "n_left_out": 1}
                    rows.append(row | {"values": [value - 1, np.nan, value, value + 1]})
        run = {"dataset": "toy", "model": model, "checkpoint": f"step{step}"}
        runs.append(pd.DataFrame(rows).assign(**run))
    return runs


def scored(model: str, r: np.ndarray, rng: np.random.Generator, roi: str = "all") -> pd.DataFrame:
    """Write scores (layers x steps) as the master table has them, with draws."""
    rows = []
    for place, step in enumerate(STEPS):
        values = [*r[:, place], r[:, place].max()]
        for layer, value in zip([*range(1, N_LAYERS + 1), -1], values, strict=True):
            draws = (value + 0.005 * rng.standard_normal(N_DRAWS)).astype(np.float32)
            cell = {"dataset": "toy", "fit": "f", "model": model, "checkpoint": f"step{step}"}
            place_of = {"layer": layer, "subject": "group", "roi": roi, "hemisphere": "L"}
            known = {"r": value, "step": float(step), "n_params": SIZES[model]}
            rows.append(cell | place_of | known | {"role": "trained", "draws": draws})
    return pd.DataFrame(rows).assign(family="toy", ceiling=0.5, r_normalized=np.nan)


@pytest.fixture(scope="module")
def study() -> dict[str, pd.DataFrame]:
    """Three sizes whose layers of low curvature predict better, the larger the more so."""
    rng = np.random.default_rng(0)
    runs, scores = [], []
    for strength, model in enumerate(SIZES, start=1):
        entropy, curvature = planted(rng)
        runs += geometry_of(model, entropy, curvature)
        rise = 0.03 * np.log10(STEPS + 1)
        effect = -0.004 * strength * (curvature - 110) + 0.02 * rng.standard_normal(curvature.shape)
        scores.append(scored(model, 0.1 + rise + effect, rng))
    models = {name: {**ABOUT, "n_params": size} for name, size in SIZES.items()}
    geometry = collect_geometry(runs, {"models": models, **SPEC})
    modules, nulls = cluster_layers(geometry, resample_sentences(runs, geometry, SPEC), SPEC)
    master = pd.concat(scores, ignore_index=True)
    return {
        "runs": runs,
        "geometry": geometry,
        "modules": modules,
        "nulls": nulls,
        "scores": master.drop(columns="draws"),
        "module_scores": score_modules(
            master.drop(columns="draws"), [cell[DRAWS] for cell in scores], modules, SPEC
        ),
        "relations": relate_geometry(master.drop(columns="draws"), geometry, SPEC),
    }


def first_choice(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    return rows[rows["first_choice"].astype(bool) & (rows["measure"] == measure)]


def test_a_grid_leaves_out_the_embeddings_and_knows_its_last_layer(study) -> None:
    rows = study["geometry"]
    found = list(grids(rows[rows["model"] == "tiny"]))
    layers = {grid.variant["last_layer"]: grid.layers.tolist() for grid in found}
    blocks = list(range(1, N_LAYERS + 1))
    assert layers == {"residual": blocks, "normed": blocks, "left out": blocks[:-1]}
    assert len({tuple(grid.variant.values()) for grid in found}) == len(MEASURES) * 2 * 3


def test_planted_modules_are_found_from_the_step_at_which_they_appear(study) -> None:
    rows = study["modules"]
    rows = rows[(rows["choice"] == "first choice") & (rows["step"] >= 4)]
    assert (rows["low"] == (rows["layer"] <= 4)).all()
    facts = study["nulls"].query("choice == 'first choice' and statistic == 'stable_step'")
    assert facts["observed"].tolist() == [4.0] * len(SIZES)


def test_modules_are_clustered_under_every_choice(study) -> None:
    assert set(study["modules"]["choice"]) == {name for name, _ in choices(SPEC["geometry"])}


def test_the_low_module_predicts_better_and_has_no_permutation_p_in_two_pieces(study) -> None:
    rows = study["module_scores"].query("choice == 'first choice' and membership == 'step'")
    last = rows[(rows["step"] == 4000) & (rows["model"] == "large")].iloc[0]
    assert last["difference"] == pytest.approx(2 * 5 * 0.012, abs=0.03)
    assert last["ci_low"] > 0
    assert last["n_arrangements"] == 2 and np.isnan(last["p"])


def test_a_planted_relation_is_found_beyond_training_and_grows_with_size(study) -> None:
    rows = first_choice(study["relations"], "curvature")
    beyond = rows[(rows["method"] == "pearson") & (rows["control"] == "steps")]
    assert (beyond.set_index("model").loc["large", "ci_high"]) < 0
    slope = rows[(rows["method"] == "growth") & (rows["control"] == "log step")].iloc[0]
    assert slope["estimate"] < 0 and np.isnan(slope["p"])


def test_all_controls_stand_beside_the_first_choice(study) -> None:
    rows = first_choice(study["relations"], "curvature")
    controls = set(rows.loc[rows["method"] == "pearson", "control"])
    assert {"none", "log step", "steps, depth", "layers, steps", "log step, entropy"} <= controls
    assert {"pearson", "spearman", "mixed", "growth"} == set(rows["method"])


def lobes(frontal_delay: float, noise: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write nested scores of a temporal and a frontal region that learns `frontal_delay` later."""
    rng = np.random.default_rng(1)
    cells = []
    for roi, delay in (("PostTemp", 0.0), ("IFG", frontal_delay)):
        curve = 0.3 / (1 + np.exp(-(np.log10(STEPS + 1) - 0.9 - delay) / 0.15))
        cells.append(scored("large", np.tile(curve, (N_LAYERS, 1)), rng, roi))
    table = pd.concat(cells, ignore_index=True)
    table["draws"] = [row + noise * rng.standard_normal(N_DRAWS) for row in table["draws"]]
    draws = collect_draws([table[DRAWS]])
    return table.drop(columns="draws"), draws


SPEC_LOBES = {"lobes": {"toy": {"temporal": ["PostTemp"], "frontal": ["IFG"]}}, "seed": 0}


def test_a_planted_order_of_onsets_lies_in_its_interval() -> None:
    found = contrast_onsets(*lobes(frontal_delay=1.2, noise=0.002), SPEC_LOBES)
    onset = found.set_index(["measure", "noise"]).loc[("onset50", "as measured")]
    assert onset["difference"] == pytest.approx(-1.2, abs=0.1)  # steps four times apart
    assert onset["ci_low"] <= onset["difference"] <= onset["ci_high"] < 0


def test_regions_that_learn_together_have_no_contrast() -> None:
    found = contrast_onsets(*lobes(frontal_delay=0.0, noise=0.01), SPEC_LOBES)
    onsets = found[found["measure"] == "onset50"]
    assert ((onsets["ci_low"] <= 0) & (onsets["ci_high"] >= 0)).all()


def test_a_claim_is_judged_by_all_variants() -> None:
    holding, failing = Finding("a", True, 0.5), Finding("b", False, 0.1)
    assert verdict([holding])["verdict"] == "holds"
    assert verdict([failing])["verdict"] == "fails"
    found = verdict([failing, holding])
    assert found["verdict"] == "holds only under some variants"
    assert (found["detail"], found["estimate"]) == ("a", 0.1)


def test_the_planted_claims_hold(study) -> None:
    onsets = contrast_onsets(*lobes(frontal_delay=1.2, noise=0.002), SPEC_LOBES)
    claims = judge_claims(study["nulls"], study["module_scores"], study["relations"], onsets)
    assert set(claims["claim"]) == set(STATEMENTS)
    large = claims[claims["model"] == "large"].set_index("claim")
    assert large.loc["A3", "verdict"] == "holds"
    assert large.loc["A5", "verdict"] != "fails"
    grown = claims[claims["claim"] == "A6"].iloc[0]
    assert grown["model"] == "all" and grown["estimate"] < 0


def test_four_layers_are_clustered_but_no_three_of_them(study) -> None:
    rows = study["geometry"].query("model == 'tiny' and (layer <= 3 or layer == @N_LAYERS)")
    four = rows.assign(n_layers=4, layer=rows["layer"].replace(N_LAYERS, 4))
    resampled = resample_sentences(study["runs"], four, SPEC)
    modules, _ = cluster_layers(four, resampled, SPEC)
    assert "last layer left out" not in set(modules["choice"])
    assert FIRST_CHOICE in set(modules["choice"])


def test_a_module_that_is_low_in_one_measure_only_carries_no_claim(study) -> None:
    onsets = contrast_onsets(*lobes(frontal_delay=1.2, noise=0.002), SPEC_LOBES)
    scores = study["module_scores"].assign(curvature=0.5)
    claims = judge_claims(study["nulls"], scores, study["relations"], onsets)
    assert set(claims.loc[claims["claim"] == "A3", "verdict"]) == {"fails"}


def test_the_sides_of_the_planted_modules_are_told(study) -> None:
    rows = study["module_scores"].query("choice == 'first choice' and step >= 4")
    # Two groups of equal size: z-scores are 1 below and 1 above the mean.
    assert rows["entropy"].to_numpy() == pytest.approx(-2, abs=0.1)
    assert rows["curvature"].to_numpy() == pytest.approx(-2, abs=0.5)


@pytest.mark.parametrize(
    ("setting", "options"),
    [("entropy", ENTROPIES), ("curvature", CURVATURES), ("last_layer", LAST_LAYERS)],
)
def test_every_variant_that_is_measured_may_come_first(setting, options) -> None:
    assert get_args(Geometry.model_fields[setting].annotation) == options


def test_a_study_chooses_what_comes_first(study) -> None:
    chosen = {"entropy": "normalised", "entropy_unit": "log tokens", "first_token": False}
    spec = {**SPEC, "geometry": Geometry(**chosen, last_layer="normed").model_dump()}
    names = [name for name, _ in choices(spec["geometry"])]
    assert names[0] == FIRST_CHOICE
    assert {"entropy raw", "entropy in nats", "with first token", "last layer residual"} < {*names}
    scores = study["scores"].query("model == 'large'")
    runs = [run for run in study["runs"] if run["model"].iloc[0] == "large"]
    models = {"large": {**ABOUT, "n_params": 1e8}}
    geometry = collect_geometry(runs, {"models": models, **spec})
    found = relate_geometry(scores, geometry, spec)
    first = found[found["first_choice"].astype(bool)]
    wanted = first_choices(spec["geometry"])
    assert {tuple(row) for row in first[VARIANT].to_numpy()} == {
        tuple(variant[name] for name in VARIANT) for variant in wanted.values()
    }
    rows = geometry[geometry["first_choice"]]
    assert set(rows.loc[rows["layer"] == N_LAYERS, "state"]) == {"normed"}
    assert set(rows.loc[rows["layer"] < N_LAYERS, "state"]) == {"residual"}


def test_drawn_sentences_vary_as_their_mean_does() -> None:
    rng = np.random.default_rng(3)
    runs = geometry_of("tiny", *planted(rng))[:1]
    values = [rng.standard_normal(400) for _ in range(len(runs[0]))]
    runs = [runs[0].assign(values=values)]
    geometry = collect_geometry(runs, {"models": {"tiny": {**ABOUT, "n_params": 1e6}}, **SPEC})
    draws = np.stack(resample_sentences(runs, geometry, SPEC)["draws"].to_list())
    assert draws.std(axis=1).mean() == pytest.approx(1 / np.sqrt(400), rel=0.05)


def test_the_agreement_of_planted_modules_has_an_interval_over_sentences(study) -> None:
    facts = study["nulls"].query("choice == @FIRST_CHOICE and statistic == 'ari_final'")
    assert facts[["ci_low", "ci_high"]].notna().all(axis=None)
    assert (facts["ci_low"] <= facts["observed"]).all()
    # From step 4 on modules are those of the last step: 5 of 7 steps, whatever is drawn.
    assert (facts["ci_low"] > 4.5 / 7).all()

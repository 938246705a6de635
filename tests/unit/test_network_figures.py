"""Figures and tables of the organization of neurons draw what they are given."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lmcortex.errors import InputError
from lmcortex.figures import atom_maps, networks
from lmcortex.figures.style import View
from lmcortex.networks.maps import ENCODERS, RIDGE
from lmcortex.plan import NETWORK_TABLES, load_plan
from lmcortex.statistics.networks import collect_networks

VIEW = View("story", title="A story", model="net")
ROIS = ["A", "A", "B"]
RUNS = [("net", "step0"), ("net", "step10")]


def found() -> xr.Dataset:
    """Return what `label_atoms` writes of four atoms on three targets."""
    rng = np.random.default_rng(0)
    t = rng.standard_normal((3, 4, 3))
    return xr.Dataset(
        {
            "map": (("encoder", "atom", "target"), t),
            "part": (("encoder", "atom", "target"), np.sign(t).astype(int)),
            "atoms": (("sample", "atom"), rng.standard_normal((30, 4))),
            "counts": (("kind", "atom", "layer"), rng.integers(1, 9, (2, 4, 5))),
            "neuron_r2": ("neuron", rng.random(50)),
            "r2_in": (("encoder", "response"), rng.random((3, 6))),
            "r2_cv": (("encoder", "response"), rng.random((3, 6)) - 0.5),
        },
        {
            "encoder": list(ENCODERS),
            "kind": ["hard", "soft"],
            "subject": ("response", ["1", "1", "1", "average", "average", "average"]),
            "roi": ("target", ROIS),
            "hemisphere": ("target", ["L", "R", "L"]),
            **{axis: ("target", np.full(3, np.nan)) for axis in "xyz"},
        },
        {"dataset": "story", "model": "net", "checkpoint": "step10", "atlas": "regions"},
    )


def labels() -> pd.DataFrame:
    """Return labels of every run: atoms 0 and 1 activate A, and 2 deactivates B."""
    rows = []
    for (model, checkpoint), atom_set, sign, atom, network in product(
        RUNS, ("main", "phase-randomised"), ("active", "deactive"), range(4), "AB"
    ):
        own = (sign, network) == ("active", "A") and atom < 2
        own |= (sign, network, atom) == ("deactive", "B", 2)
        own &= atom_set == "main"
        rows.append(
            {"dataset": "story", "model": model, "checkpoint": checkpoint, "atom_set": atom_set,
             "atlas": "regions", "encoder": RIDGE, "sign": sign, "atom": atom, "network": network,
             "dice": 0.9 * own, "associated": own, "p_strength": 0.01 if own else 0.5}
        )  # fmt: skip
    return pd.DataFrame(rows)


def organization() -> pd.DataFrame:
    measures = ["in-sample R2, mean response", "cross-validated R2, mean response", "networks"]
    measures += ["effective networks", "atoms per network", "temporal consistency"]
    rows = [
        {"dataset": "story", "model": model, "checkpoint": checkpoint, "atom_set": atom_set,
         "atlas": "regions", "encoder": RIDGE, "sign": "all", "network": "all",
         "measure": measure, "value": 1.0 + n, "expected": 0.5,
         "step": float(checkpoint[4:]), "final": checkpoint == "step10", "n_params": 1e6}
        for n, ((model, checkpoint), atom_set, measure) in enumerate(
            product(RUNS, ("main", "phase-randomised"), measures)
        )
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_networks_shows_how_many_atoms_each_has() -> None:
    figure = networks.networks(labels(), organization(), VIEW)
    panels = {axis.get_title("left"): axis for axis in figure.axes}
    counts = {name: axis.images[0].get_array().tolist() for name, axis in panels.items()}
    # The last checkpoint, and below it the same atoms with random phases.
    assert counts["active"] == [[2, 0], [0, 0]]
    assert counts["deactive"] == [[0, 1], [0, 0]]
    assert counts["either, by strength"] == [[2, 1], [0, 0]]


def test_each_atlas_has_its_own_counts() -> None:
    both = pd.concat([labels(), labels().replace({"regions": "wider", "A": "C"})])
    figure = networks.networks(both, organization(), VIEW)
    panels = {axis.get_title("left"): axis for axis in figure.axes}
    names = [label.get_text() for label in panels["wider: active"].get_xticklabels()]
    assert names == ["B", "C"]
    assert panels["wider: active"].images[0].get_array().tolist() == [[0, 2], [0, 0]]
    assert panels["regions: active"].images[0].get_array().tolist() == [[2, 0], [0, 0]]


def test_correlations_have_no_diagonal_and_atoms_of_a_network_stand_together() -> None:
    given = found()
    figure = atom_maps.atom_correlations(given, labels(), VIEW)
    r = figure.axes[0].images[0].get_array()
    assert np.array_equal(np.diag(r), np.zeros(4))
    expected = np.corrcoef(given["atoms"].to_numpy()[:, [0, 1]].T)[0, 1]
    assert np.isclose(r, expected).any()


def test_maps_of_rois_show_every_atom_in_every_target() -> None:
    given = found()
    figure = atom_maps.atom_maps(given, labels(), VIEW)
    shown = figure.axes[0].images[0].get_array()
    t = given["map"].sel(encoder=RIDGE).to_numpy()
    assert sorted(map(tuple, shown.T.tolist())) == sorted(map(tuple, t.tolist()))


def test_maps_of_rois_mark_what_is_strong_at_the_checkpoint_that_they_are_of() -> None:
    rows = labels().assign(p_strength=0.5)
    rows.loc[(rows["checkpoint"] == "step0") & (rows["atom"] == 3), "p_strength"] = 0.01
    figure = atom_maps.atom_maps(found(), rows, VIEW)
    assert not [line for line in figure.axes[0].lines if line.get_gid() == "strong"]


def test_brains_show_the_largest_associations_or_else_the_largest_overlaps() -> None:
    rows = labels()
    rows = rows[(rows["checkpoint"] == "step10") & (rows["atom_set"] == "main")].copy()
    rows.loc[(rows["atom"] == 3) & (rows["network"] == "B"), "dice"] = 0.5
    shown = atom_maps.best_atoms(rows)
    assert [each[:3] for each in shown] == [
        (0, "active", "A"),
        (1, "active", "A"),
        (2, "deactive", "B"),
    ]
    shown = atom_maps.best_atoms(rows.assign(associated=False, dice=rows["dice"] % 0.9))
    assert len(shown) == 2 * atom_maps.N_BRAINS
    assert shown[0] == (3, "active", "B", 0.5, False)


def test_histograms_hold_every_neuron_and_every_response_of_single_subjects() -> None:
    figure = networks.atoms({"net": found()}, organization(), VIEW)
    for axis, names in zip(
        figure.axes, (["neurons"], ["in-sample", "cross-validated"]), strict=False
    ):
        heights = [sum(p.get_height() for p in bars.patches) for bars in axis.containers]
        assert np.allclose(heights, 1) and len(heights) == len(names)


def test_sub_groups_show_shares_of_layers() -> None:
    figure = networks.sub_groups({"net": found()}, VIEW)
    shares = figure.axes[0].images[0].get_array()
    assert shares.shape == (5, 4) and np.allclose(shares.sum(axis=0), 1)


def test_organization_draws_each_checkpoint_and_its_control() -> None:
    figure = networks.organization(organization(), VIEW)
    names = [line.get_gid() for line in figure.axes[0].lines]
    assert (names.count("run"), names.count("control")) == (2, 2)


def test_organization_compares_last_checkpoints_and_follows_those_with_steps() -> None:
    figure = networks.organization(organization(), VIEW)
    panels = [axis for axis in figure.axes if axis.get_title("left") == "atoms per network"]
    of_models, course = panels
    values = [float(line.get_ydata()[0]) for line in of_models.lines if line.get_gid() == "run"]
    table = organization()
    chosen = table[(table["measure"] == "atoms per network") & (table["atom_set"] == "main")]
    assert values == chosen.loc[chosen["final"], "value"].tolist()
    main = next(line for line in course.lines if line.get_gid() == "main")
    assert main.get_ydata().tolist() == chosen.sort_values("step")["value"].tolist()
    one = table[table["final"]]
    assert len(networks.organization(one, VIEW).axes) == 3


def test_tables_of_all_runs_are_joined_by_run() -> None:
    parts = [rows.sample(frac=1, random_state=0) for _, rows in labels().groupby("checkpoint")]
    joined = collect_networks(parts, "network_labels", {})
    assert len(joined) == len(labels()) and joined["checkpoint"].is_monotonic_increasing


def test_a_study_of_networks_asks_for_their_tables_and_needs_a_story(tmp_path) -> None:
    study = tmp_path / "s.yaml"
    text = "title: T\nfits: [shuffled-5]\nmodels: [{name: suite-s}]\nanalyses: [networks]\n"
    study.write_text(text + "datasets: [simulated-sentences]\n")
    with pytest.raises(InputError, match="networks needs a story"):
        load_plan({"study": str(study)})
    study.write_text(text.replace("shuffled-5", "runs") + "datasets: [simulated-story]\n")
    plan = load_plan({"study": str(study)})
    assert {plan.table(name) for name in NETWORK_TABLES} <= set(plan.tables())

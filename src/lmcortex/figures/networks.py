"""Atoms, the layers and networks that they belong to, and how networks share them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmcortex.figures import select, style
from lmcortex.figures.style import View
from lmcortex.networks.atoms import CONTROL, MAIN
from lmcortex.networks.maps import RIDGE
from lmcortex.networks.organization import ALL

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

R2_TITLE = "How much do atoms explain?"
GROUPS_TITLE = "Which layers do sub-groups of neurons come from?"
NETWORKS_TITLE = "Which networks do atoms drive?"
ORGANIZATION_TITLE = "Is the organization diverse, and is it consistent?"
AVERAGE = "average"
N_BINS = 40
LEVEL = 0.05
CONSISTENCY = "temporal consistency"
COUNTS = ("networks", "atoms per network")
SIGNS = {"active": style.VERMILLION, "deactive": style.BLUE}

Maps = dict[str, "xr.Dataset"]  # of a model's last checkpoint, by its name


def atoms(maps: Maps, organization: pd.DataFrame, view: View) -> Figure:
    """Draw how much atoms explain of neurons and of responses.

    Parameters
    ----------
    maps : what `lmcortex.networks.tables.group_file` made.
    organization : table `organization`.
    view : dataset to show.

    Returns
    -------
    One row per model: a histogram over neurons; one over the responses of single subjects,
    in-sample and cross-validated (ridge); and the mean response beside its control.
    """
    subtitle = "R2 of neurons by the dictionary, and of responses by ridge on its atoms"
    figure = style.frame(view, R2_TITLE, subtitle, (11.5, 2.2 * len(maps) + 0.6))
    axes = style.grid(figure, 3 * len(maps), 3)
    for number, (model, found) in enumerate(maps.items()):
        neurons, responses, means = axes[3 * number : 3 * number + 3]
        _histogram(neurons, {"neurons": found["neuron_r2"].to_numpy()}, (0, 1))
        neurons.set_title(f"{model}: neurons")
        of_ridge = found.sel(encoder=RIDGE)
        single = of_ridge["subject"].to_numpy() != AVERAGE
        values = {
            name: of_ridge[key].to_numpy()[single]
            for key, name in (("r2_in", "in-sample"), ("r2_cv", "cross-validated"))
        }
        low, high = np.quantile(np.concatenate(list(values.values())), [0.005, 0.995])
        _histogram(responses, values, (min(float(low), -0.02), float(high)))
        responses.axvline(0, color=style.GREY, linewidth=0.8)
        responses.set_title(f"{model}: single subjects")
        _mean_response(means, organization, view.dataset, model)
    axes[-3].set_xlabel("R2")
    axes[-2].set_xlabel("R2")
    handles = [
        style.line("in-sample", style.CYCLE[0]),
        style.line("cross-validated", style.CYCLE[1]),
        style.line("phase-randomised atoms", style.GREY, "none", "o"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _histogram(axis: "Axes", series: dict[str, np.ndarray], limits: tuple[float, float]) -> None:
    bins = np.linspace(*limits, N_BINS + 1).tolist()
    for (name, values), colour in zip(series.items(), style.CYCLE, strict=False):
        weights = np.full(len(values), 1 / len(values))
        inside = np.clip(values, *limits)
        axis.hist(inside, bins, weights=weights, color=colour, alpha=0.6, gid=name)
        axis.axvline(float(np.median(values)), color=colour, linewidth=1.2)
    axis.set_ylabel("share")


def _mean_response(axis: "Axes", organization: pd.DataFrame, dataset: str, model: str) -> None:
    """Draw the mean over targets of R2 of the mean response, or of single subjects without one."""
    rows = organization[
        (organization["dataset"] == dataset)
        & (organization["model"] == model)
        & (organization["encoder"] == RIDGE)
    ]
    for who in ("mean response", "subjects"):
        names = [f"in-sample R2, {who}", f"cross-validated R2, {who}"]
        here = rows[rows["measure"].isin(names)]
        if len(here):
            break
    runs = here[here["atom_set"] == MAIN]["checkpoint"].drop_duplicates().tolist()
    order = sorted(runs, key=_training)
    for name, colour in zip(names, style.CYCLE, strict=False):
        for atom_set, marker in ((MAIN, "o"), (CONTROL, "o")):
            chosen = here[(here["measure"] == name) & (here["atom_set"] == atom_set)]
            values = chosen.set_index("checkpoint")["value"].reindex(order)
            shade = colour if atom_set == MAIN else style.GREY
            line = "-" if atom_set == MAIN else "none"
            axis.plot(range(len(order)), values, marker=marker, linestyle=line, color=shade,
                      markersize=4, gid=atom_set)  # fmt: skip
    axis.axhline(0, color=style.GREY, linewidth=0.8)
    axis.set_xticks(range(len(order)), [_short(name) for name in order], rotation=45, ha="right")
    axis.set_title(f"{model}: {who}")
    axis.set_ylabel("mean R2")


def _training(checkpoint: str) -> tuple[int, int]:
    """Order checkpoints: untrained, steps, the end of training."""
    if checkpoint.startswith("untrained"):
        return (0, 0)
    return (1, int(checkpoint[4:])) if checkpoint.startswith("step") else (2, 0)


def _short(checkpoint: str) -> str:
    if checkpoint.startswith("step"):
        return style.short_count(float(checkpoint[4:]))
    return checkpoint.removesuffix("-seed1")


def sub_groups(maps: Maps, view: View) -> Figure:
    """Draw which layers each atom's sub-group of neurons comes from.

    Returns
    -------
    For each model, atoms ordered by depth against layers, the share of each atom's neurons in
    colour: hard sub-groups left, soft ones right; and the layers of all hard sub-groups' neurons.
    """
    subtitle = "share of a sub-group's neurons in each layer; atoms ordered by mean depth"
    figure = style.frame(view, GROUPS_TITLE, subtitle, (11.5, 2.3 * len(maps) + 0.3))
    axes = style.grid(figure, 3 * len(maps), 3)
    for number, (model, found) in enumerate(maps.items()):
        for axis, kind in zip(axes[3 * number :], ("hard", "soft"), strict=False):
            counts = found["counts"].sel(kind=kind).to_numpy().astype(float)
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            order = np.argsort(shares @ np.arange(counts.shape[1]), kind="stable")
            image = axis.imshow(
                shares[order].T, aspect="auto", origin="lower", cmap="viridis",
                extent=(0, len(order), 0.5, counts.shape[1] + 0.5), gid=kind,
            )  # fmt: skip
            axis.grid(False)
            axis.set_title(f"{model}: {kind} sub-groups")
            axis.set_ylabel("layer")
            figure.colorbar(image, ax=axis, pad=0.01)
        _layer_spread(axes[3 * number + 2], found)
        axes[3 * number + 2].set_title(f"{model}: spread over layers")
    axes[-3].set_xlabel("atom, by depth")
    axes[-2].set_xlabel("atom, by depth")
    axes[-1].set_xlabel("effective number of layers")
    return figure


def _layer_spread(axis: "Axes", found: "xr.Dataset") -> None:
    """Draw how many layers sub-groups come from, exp(entropy), beside all there are."""
    n_layers = found.sizes["layer"]
    for kind, colour in zip(("hard", "soft"), style.CYCLE, strict=False):
        counts = found["counts"].sel(kind=kind).to_numpy().astype(float)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        logs = np.log(np.where(shares > 0, shares, 1))
        effective = np.exp(-(shares * logs).sum(axis=1))
        bins = np.linspace(1, n_layers + 0.01, 20).tolist()
        axis.hist(effective, bins, color=colour, alpha=0.6, label=kind, gid=kind)
    axis.set_ylabel("atoms")
    axis.legend()


def networks(labels: pd.DataFrame, organization: pd.DataFrame, view: View) -> Figure:
    """Draw how many atoms each network has, and how strongly it is driven.

    Parameters
    ----------
    labels : table `network_labels`.
    organization : table `organization`.
    view : dataset to show.

    Returns
    -------
    For each atlas, three panels of models (last checkpoints and untrained) by networks: atoms that
    activate a network, those that deactivate it, both by Dice and its null; and atoms whose
    strength in the network has p < .05, of either sign.
    """
    rows = labels[(labels["dataset"] == view.dataset) & (labels["encoder"] == RIDGE)]
    about = organization[organization["dataset"] == view.dataset]
    runs = _last_runs(about)
    atlases = rows["atlas"].drop_duplicates().tolist()
    subtitle = "atoms per network: Dice above its null; strength at p < .05, chance gives 10%"
    height = len(atlases) * (0.32 * (len(runs) + 1) + 1.1)
    figure = style.frame(view, NETWORKS_TITLE, subtitle, (11.5, height))
    axes = style.grid(figure, 3 * len(atlases), 3, sharey=True)
    for number, atlas in enumerate(atlases):
        own = rows[rows["atlas"] == atlas]
        kinds: list[tuple[str, pd.DataFrame]] = [
            (sign, own[own["associated"] & (own["sign"] == sign)]) for sign in SIGNS
        ]
        kinds.append(("either, by strength", own[own["p_strength"] < LEVEL]))
        names = sorted(own["network"].unique())
        for axis, (title, chosen) in zip(axes[3 * number :], kinds, strict=False):
            counts = np.array([[_count(chosen, run, name) for name in names] for run in runs])
            _count_panel(axis, counts, names)
            axis.set_title(title if len(atlases) == 1 else f"{atlas}: {title}")
        axes[3 * number].set_yticks(range(len(runs)), [_run_name(run) for run in runs])
    return figure


def _count_panel(axis: "Axes", counts: np.ndarray, names: list[str]) -> None:
    """Draw counts (n_runs, n_networks) as colour, and as numbers where there is room for them."""
    most = max(int(counts.max()), 1)
    axis.imshow(counts, aspect="auto", cmap="Purples", vmin=0, vmax=most, gid="counts")
    axis.grid(False)
    if len(names) <= 20:
        for (row, column), value in np.ndenumerate(counts):
            axis.text(column, row, f"{value}", ha="center", va="center", size=8.5,
                      color="white" if value > 0.6 * most else style.BLACK)  # fmt: skip
    upright = len(names) <= 8 and max(map(len, names)) <= 9
    axis.set_xticks(range(len(names)), names, rotation=0 if upright else 90)
    axis.tick_params(labelbottom=True)


def _last_runs(about: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return (model, checkpoint, set) of last checkpoints, their controls and untrained ones."""
    runs = []
    for model in select.by_size(about):
        own = about[about["model"] == model]
        last = own.loc[own["final"].astype(bool), "checkpoint"].drop_duplicates().tolist()
        runs += [(model, each, atom_set) for each in last for atom_set in (MAIN, CONTROL)]
        fresh = own.loc[own["checkpoint"].str.startswith("untrained"), "checkpoint"]
        runs += [(model, each, MAIN) for each in fresh.drop_duplicates()]
    return runs


def _run_name(run: tuple[str, str, str]) -> str:
    model, checkpoint, atom_set = run
    if checkpoint.startswith("untrained"):
        return f"{model}, untrained"
    return model if atom_set == MAIN else f"{model}, phases random"


def _count(rows: pd.DataFrame, run: tuple[str, str, str], network: str) -> int:
    wanted = pd.Series(run, ["model", "checkpoint", "atom_set"])
    of_run = (rows[list(wanted.index)] == wanted).all(axis=1)
    return int(rows[of_run & (rows["network"] == network)]["atom"].nunique())


def organization(table: pd.DataFrame, view: View) -> Figure:
    """Draw diversity against consistency, and how compact the organization of each model is.

    Returns
    -------
    For each atlas, the plane of the effective number of networks and the temporal consistency of
    atoms of a network (minus what random atoms have), then the number of networks and the atoms per
    network of each model's last checkpoint, of its untrained twin and of phase-randomised atoms
    (both signs). Where models have training steps, a second row shows the three through training.
    """
    rows = table[
        (table["dataset"] == view.dataset)
        & (table["encoder"] == RIDGE)
        & (table["network"] == ALL)
        & (table["sign"] == ALL)
        & (table["atlas"] != ALL)
        & table["atom_set"].isin([MAIN, CONTROL])
    ]
    consistent = rows["measure"] == CONSISTENCY
    rows = rows.assign(value=rows["value"] - rows["expected"].where(consistent, 0))
    models = select.by_size(rows)
    atlases = rows["atlas"].drop_duplicates().tolist()
    n_rows = 1 + int(rows.groupby("model")["step"].nunique().max() > 1)
    subtitle = "ridge maps, both signs; hollow: untrained; cross: phase-randomised atoms"
    height = 3.2 * n_rows * len(atlases) + 0.4
    figure = style.frame(view, ORGANIZATION_TITLE, subtitle, (11.5, height))
    axes = style.grid(figure, 3 * n_rows * len(atlases), 3)
    colours = style.colours(models)
    for number, atlas in enumerate(atlases):
        own = rows[rows["atlas"] == atlas]
        prefix = "" if len(atlases) == 1 else f"{atlas}: "
        panels = axes[3 * n_rows * number :]
        _plane(panels[0], own, colours, prefix)
        for axis, measure in zip(panels[1:3], COUNTS, strict=True):
            _by_model(axis, own[own["measure"] == measure], colours)
            axis.set_title(f"{prefix}{measure}")
        for axis, measure in zip(panels[3 : 3 * n_rows], (CONSISTENCY, *COUNTS), strict=False):
            _course(axis, own[own["measure"] == measure], colours)
            axis.set_title(f"{prefix}{measure}")
            axis.set_ylabel(f"{measure} - random atoms" if measure == CONSISTENCY else "")
    handles = [style.line(model, colours[model], "-", "o") for model in models]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))
    return figure


def _plane(axis: "Axes", rows: pd.DataFrame, colours: dict[str, Any], prefix: str) -> None:
    for (model, checkpoint, atom_set), run in rows.groupby(["model", "checkpoint", "atom_set"]):
        values = run.set_index("measure")["value"]
        if CONSISTENCY in values.index:
            last = bool(run["final"].iloc[0])
            place = values["effective networks"], values[CONSISTENCY]
            _mark(
                axis, place, str(checkpoint), str(atom_set), colours[str(model)], 9 if last else 5
            )
    axis.axhline(0, color=style.GREY, linewidth=0.8)
    axis.set_xlabel("effective number of networks")
    axis.set_ylabel(f"{CONSISTENCY} - random atoms")
    axis.set_title(f"{prefix}diversity and consistency")


def _mark(
    axis: "Axes", place: tuple[float, float], checkpoint: str, atom_set: str, colour: Any, size: int
) -> None:
    """Draw a run: filled, hollow where it is untrained, a cross for phase-randomised atoms."""
    if atom_set == CONTROL:
        axis.plot(*place, "x", color=colour, markersize=5, gid="control", alpha=0.6)
    else:
        face = "none" if checkpoint.startswith("untrained") else colour
        axis.plot(*place, "o", color=colour, markersize=size, gid="run", markerfacecolor=face)


def _by_model(axis: "Axes", rows: pd.DataFrame, colours: dict[str, Any]) -> None:
    """Draw a measure of models' last checkpoints and of their untrained twins, side by side."""
    shown = rows["final"].astype(bool) | rows["checkpoint"].str.startswith("untrained")
    places = {model: place for place, model in enumerate(colours)}
    columns = ["model", "checkpoint", "atom_set", "value"]
    for model, checkpoint, atom_set, value in rows.loc[shown, columns].to_numpy():
        place = places[model] - 0.15 * checkpoint.startswith("untrained"), value
        _mark(axis, place, checkpoint, atom_set, colours[model], 7)
    axis.set_xticks(range(len(places)), list(places), rotation=0 if len(places) < 5 else 45)
    axis.set_xlim(-0.6, len(places) - 0.4)
    axis.set_ylim(0, max(1.0, 1.08 * axis.get_ylim()[1]))


def _course(axis: "Axes", rows: pd.DataFrame, colours: dict[str, Any]) -> None:
    """Draw a measure through the training of models with steps."""
    trained = rows[rows["step"].notna()]
    for model, colour in colours.items():
        for atom_set, line, marker in ((MAIN, "-", "o"), (CONTROL, "none", "x")):
            own = trained[(trained["model"] == model) & (trained["atom_set"] == atom_set)]
            own = own.sort_values("step")
            axis.plot(own["step"].to_numpy(float), own["value"], linestyle=line, marker=marker,
                      markersize=4, color=colour, gid=atom_set,
                      alpha=1 if atom_set == MAIN else 0.5)  # fmt: skip
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlabel("training step")
    axis.axhline(0, color=style.GREY, linewidth=0.8)


def by_model(maps: Sequence["xr.Dataset"]) -> Maps:
    """Return maps by the model that they are of."""
    return {str(found.attrs["model"]): found for found in maps}

"""The maps of a checkpoint's atoms, and how alike the atoms of a network are."""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmcortex.figures import style
from lmcortex.figures.brains import DIVERGING, Shown, brains
from lmcortex.figures.networks import LEVEL, SIGNS
from lmcortex.figures.style import View
from lmcortex.networks.atoms import MAIN
from lmcortex.networks.maps import RIDGE

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

MAPS_TITLE = "Where in the brain do atoms act?"
CORRELATIONS_TITLE = "Do atoms of a network act alike?"
N_BRAINS = 3  # of either sign


def atom_maps(found: "xr.Dataset", labels: pd.DataFrame, view: View) -> Figure:
    """Draw the maps of the atoms of one model's last checkpoint.

    Parameters
    ----------
    found : what `lmcortex.networks.tables.group_file` made.
    labels : table `network_labels`.
    view : dataset and model to show.

    Returns
    -------
    With voxels, glass brains and the inflated cortex of the atoms with the largest Dice of either
    sign; with ROIs, t of all atoms in each.
    """
    rows = _labels_of(labels, found)
    of_ridge = found.sel(encoder=RIDGE)
    places = np.stack([found[axis].to_numpy().astype(float) for axis in "xyz"], axis=1)
    if np.isfinite(places).all() and len(places) > 50:
        return brains(of_ridge, places, best_atoms(rows), view, MAPS_TITLE)
    return _roi_maps(of_ridge, rows, view)


def _labels_of(labels: pd.DataFrame, found: "xr.Dataset") -> pd.DataFrame:
    """Return the labels of the ridge maps of the checkpoint that `found` is of, by its atlas."""
    wanted = {name: found.attrs[name] for name in ("dataset", "model", "checkpoint", "atlas")}
    wanted |= {"encoder": RIDGE, "atom_set": MAIN}
    return labels[(labels[list(wanted)] == pd.Series(wanted)).all(axis=1)]


def best_atoms(rows: pd.DataFrame) -> list[Shown]:
    """Return what has the largest Dice of each sign, one network per atom.

    Associations alone are shown; where there are none, the largest overlaps stand in.
    """
    if rows["associated"].any():
        rows = rows[rows["associated"]]
    falling = rows.sort_values("dice", ascending=False, kind="stable")[list(Shown._fields)]
    best = []
    for sign in SIGNS:
        own = falling[falling["sign"] == sign].drop_duplicates("atom").head(N_BRAINS)
        best += [Shown(*row) for row in own.itertuples(index=False, name=None)]
    return best


def _roi_maps(found: "xr.Dataset", rows: pd.DataFrame, view: View) -> Figure:
    t = found["map"].to_numpy()
    sides = zip(found["roi"].to_numpy(), found["hemisphere"].to_numpy(), strict=True)
    names = [f"{roi} {side}" for roi, side in sides]
    order = np.lexsort([t[np.arange(len(t)), np.abs(t).argmax(axis=1)], np.abs(t).argmax(axis=1)])
    limit = float(np.abs(t).max())
    subtitle = "t over subjects (ridge); dots: strength in the network at p < .05, uncorrected"
    figure = style.frame(
        view, f"{MAPS_TITLE} {view.model}", subtitle, (11.5, 0.35 * len(names) + 1)
    )
    axis = style.grid(figure, 1, 1)[0]
    image = axis.imshow(t[order].T, aspect="auto", cmap=DIVERGING, vmin=-limit, vmax=limit, gid="t")
    strong = rows[rows["p_strength"] < LEVEL]
    rank = {int(atom): place for place, atom in enumerate(order)}
    roi = found["roi"].to_numpy().astype(str)
    for atom, network in zip(strong["atom"], strong["network"], strict=True):
        for target in np.flatnonzero(roi == network):
            axis.plot(rank[int(atom)], target, ".", color=style.BLACK, markersize=4, gid="strong")
    axis.grid(False)
    axis.set_yticks(range(len(names)), names)
    size = min(7.0, 450 / len(order))
    axis.set_xticks(range(len(order)), order.tolist(), rotation=90, size=size)
    axis.set_xlabel("atoms, in order of the target with the largest |t|")
    figure.colorbar(image, ax=axis, label="t", pad=0.01)
    return figure


def atom_correlations(found: "xr.Dataset", labels: pd.DataFrame, view: View) -> Figure:
    """Draw the correlations of atoms, those of a network together.

    Returns
    -------
    Left, time courses; right, maps. Atoms are ordered by their network with the largest Dice and
    its sign; the diagonal is 0.
    """
    rows = _labels_of(labels, found)
    best = rows.sort_values("dice", ascending=False, kind="stable").drop_duplicates("atom")
    best = best.sort_values(["network", "sign", "atom"])
    order = best["atom"].to_numpy(int)
    subtitle = "r of time courses and of maps; atoms by the network and sign of their largest Dice"
    figure = style.frame(view, f"{CORRELATIONS_TITLE} {view.model}", subtitle, (11.5, 5.2))
    axes = style.grid(figure, 2, 2)
    of_ridge = found.sel(encoder=RIDGE)
    for axis, (name, values) in zip(
        axes,
        {"time courses": found["atoms"].to_numpy().T, "maps": of_ridge["map"].to_numpy()}.items(),
        strict=True,
    ):
        r = np.corrcoef(values[order].astype(float))
        np.fill_diagonal(r, 0)
        image = axis.imshow(r, cmap=DIVERGING, vmin=-1, vmax=1, gid="r")
        axis.grid(False)
        axis.set_title(name)
        _blocks(axis, best)
        figure.colorbar(image, ax=axis, label="r", pad=0.01, shrink=0.8)
    return figure


def _blocks(axis: "Axes", best: pd.DataFrame) -> None:
    """Name the blocks of atoms that share network and sign, and part them by lines."""
    names = (best["network"] + np.where(best["sign"] == "active", " +", " -")).tolist()
    starts = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1]), len(names)]
    middles = [(a + b - 1) / 2 for a, b in pairwise(starts)]
    for start in starts[1:-1]:
        axis.axhline(start - 0.5, color=style.BLACK, linewidth=0.5)
        axis.axvline(start - 0.5, color=style.BLACK, linewidth=0.5)
    axis.set_yticks(middles, [names[start] for start in starts[:-1]], size=7.5)
    axis.set_xticks([])

"""What `label_atoms` writes of a checkpoint: its atoms, their labels, and maps for figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lmcortex import storage
from lmcortex.networks.atoms import MAIN
from lmcortex.networks.group import Labelled
from lmcortex.networks.groups import LayerProfile, layer_profile, membership
from lmcortex.networks.maps import ENCODERS, RIDGE
from lmcortex.networks.organization import ALL

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import xarray as xr

KINDS = ("hard", "soft")  # of sub-groups


class Learnt(NamedTuple):
    """What `learn_atoms` left: weights and layers of the main set, R2 and matches of each."""

    weights: np.ndarray
    layers: np.ndarray
    r2: dict[str, np.ndarray]
    seed_match: dict[str, np.ndarray]
    n_dropped: int

    def profile(self, kind: str) -> LayerProfile:
        """Describe the layers of each atom's sub-group of one of `KINDS`."""
        return layer_profile(membership(self.weights, kind), self.layers, int(self.layers.max()))


def read_learnt(path: "str | Path") -> Learnt:
    with storage.open_arrays(path) as arrays:
        keys = list(arrays.keys())
        of = {
            part: {
                key.partition("/")[0]: arrays.get_tensor(key) for key in keys if key.endswith(part)
            }
            for part in ("/r2", "/seed_match")
        }
        return Learnt(
            arrays.get_tensor(f"{MAIN}/weights"),
            arrays.get_tensor("layers"),
            of["/r2"],
            of["/seed_match"],
            int(arrays.metadata()["n_dropped"]),
        )


def atom_table(learnt: Learnt, found: Mapping[str, Labelled]) -> "pd.DataFrame":
    """Describe every atom: one row per set and atom.

    Returns
    -------
    Columns atom_set, atom (0 has the largest sum of absolute weights), seed_match, split_half
    (Dice; see `group.split_half`), active and deactive (networks of the first atlas that it is
    associated with by ridge, comma between), and, of set ``main``: weight_share (of the absolute
    weights of all neurons) and, of its hard and its soft sub-group, n_{kind} (neurons),
    depth_{kind}, layer_entropy_{kind} (nats), layers_p_{kind} (see `groups.layer_profile`) and
    layers_{kind} (neurons in layers 1 to L, comma between).
    """
    import pandas as pd

    parts = []
    for name, labelled in found.items():
        n_atoms = len(labelled.split_half)
        table = pd.DataFrame({"atom_set": name, "atom": range(n_atoms)})
        table["seed_match"] = learnt.seed_match.get(name, np.full(n_atoms, np.nan))
        table["split_half"] = labelled.split_half
        rows = labelled.labels
        of_first = (rows["encoder"] == RIDGE) & (rows["atlas"] == labelled.atlas)
        rows = rows[of_first & rows["associated"]]
        for sign in ("active", "deactive"):
            names = rows[rows["sign"] == sign].groupby("atom")["network"].agg(",".join)
            table[sign] = [names.get(atom, "") for atom in range(n_atoms)]
        parts.append(table)
    table = pd.concat(parts, ignore_index=True)
    sizes = np.abs(learnt.weights).sum(axis=1, dtype=np.float64)
    of_main = pd.DataFrame({"weight_share": sizes / sizes.sum()})
    for kind in KINDS:
        found_layers = learnt.profile(kind)
        of_main[f"n_{kind}"] = found_layers.counts.sum(axis=1)
        of_main[f"depth_{kind}"] = found_layers.depth
        of_main[f"layer_entropy_{kind}"] = found_layers.entropy
        of_main[f"layers_p_{kind}"] = found_layers.p
        of_main[f"layers_{kind}"] = [",".join(map(str, row)) for row in found_layers.counts]
    own = of_main.reindex(table["atom"]).reset_index(drop=True)
    return table.join(own.where(table["atom_set"] == MAIN))


def label_table(found: Mapping[str, Labelled]) -> "pd.DataFrame":
    """Join the labels of every set of atoms; see `lmcortex.networks.group.label_table`."""
    import pandas as pd

    tables = [labelled.labels.assign(atom_set=name) for name, labelled in found.items()]
    return pd.concat(tables, ignore_index=True)


def organization_table(learnt: Learnt, found: Mapping[str, Labelled]) -> "pd.DataFrame":
    """Join what is to say of every set of atoms, and how well they explain the neurons.

    Returns
    -------
    Columns atlas, atom_set, encoder, sign, network, measure, value, ci_low, ci_high, expected, p
    and n; see `lmcortex.networks.organization`. ``neuron R2`` (mean over neurons) is of no encoder,
    and of no atlas; of set ``held-out`` it is that of neurons that atoms were not learnt from.
    """
    import pandas as pd

    tables = [labelled.facts.assign(atom_set=name) for name, labelled in found.items()]
    rows = [
        {"atom_set": name, "encoder": "", "measure": "neuron R2", "value": r2.mean(), "n": len(r2)}
        for name, r2 in learnt.r2.items()
    ]
    rows.append(
        {"atom_set": MAIN, "measure": "neurons left out", "encoder": "", "value": learnt.n_dropped}
    )
    unknown = dict.fromkeys(("ci_low", "ci_high", "expected", "p"), np.nan)
    about = pd.DataFrame(rows).assign(atlas=ALL, sign=ALL, network=ALL, **unknown)
    columns = ["atlas", "atom_set", "encoder", "sign", "network", "measure", "value"]
    joined = pd.concat([*tables, about], ignore_index=True)[[*columns, *unknown, "n"]]
    return joined.astype({"value": float}).assign(n=joined["n"].fillna(0).astype(int))


def group_file(
    learnt: Learnt, atoms: np.ndarray, found: Labelled, maps: "xr.Dataset"
) -> "xr.Dataset":
    """Put together what figures of the main set draw.

    Parameters
    ----------
    atoms : (n_samples, n_atoms), z-scored.
    found : labels and maps of the main set.
    maps : what `map_atoms` found for all subjects.

    Returns
    -------
    ``map`` (encoder x atom x target) t over subjects and ``part`` (the same; 1, -1 and 0: in its
    positive part, its negative part, in none), ``atoms`` (sample x atom), ``counts`` (kind x atom x
    layer) of sub-groups, ``neuron_r2`` (neuron), ``r2_in`` and ``r2_cv`` (encoder x response);
    attribute ``atlas``, the first one.
    """
    import xarray as xr

    first = maps["subject"].to_numpy() == maps["subject"].to_numpy()[0]
    targets = maps.isel(target=first)
    counts = [learnt.profile(kind).counts for kind in KINDS]
    groups = [found.groups[encoder] for encoder in ENCODERS]
    inside = np.stack([group.parts.inside for group in groups]).astype(np.int8)
    spread = {key: ("encoder", "response") for key in ("r2_in", "r2_cv")}
    return xr.Dataset(
        {
            "map": (
                ("encoder", "atom", "target"),
                np.stack([group.maps for group in groups]).astype(np.float32),
            ),
            "part": (("encoder", "atom", "target"), inside[:, 0] - inside[:, 1]),
            "atoms": (("sample", "atom"), atoms.astype(np.float32)),
            "counts": (("kind", "atom", "layer"), np.stack(counts)),
            "neuron_r2": ("neuron", learnt.r2[MAIN]),
            **{key: (axes, maps[f"{key} {MAIN}"].to_numpy()) for key, axes in spread.items()},
        },
        {
            "encoder": list(ENCODERS),
            "kind": list(KINDS),
            "subject": ("response", maps["subject"].to_numpy()),
            **{
                key: ("target", targets[key].to_numpy())
                for key in ("target", "roi", "hemisphere", *"xyz")
            },
        },
        {"atlas": found.atlas},
    )

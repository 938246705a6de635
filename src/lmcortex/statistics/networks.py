"""The atoms, labels and organization of all networks of a study, as its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lmcortex.statistics.collect import about_models

RUN = ["dataset", "model", "checkpoint"]
KEYS = {
    "atoms": ["atom_set", "atom"],
    "network_labels": ["atlas", "atom_set", "encoder", "sign", "atom", "network"],
    "organization": ["atlas", "atom_set", "encoder", "sign", "network", "measure"],
}


def collect_networks(
    runs: Sequence[pd.DataFrame], kind: str, spec: Mapping[str, Any]
) -> pd.DataFrame:
    """Join one kind of table of all runs.

    Parameters
    ----------
    runs : tables that `lmcortex.networks.tables` makes, with columns dataset, model, checkpoint.
    kind : name of the study's table: a key of `KEYS`.
    spec : `models`, as for `collect_scores`.

    Returns
    -------
    The rows of all runs by dataset, model, checkpoint and `KEYS[kind]`; `organization` also says
    what is known of the models (`lmcortex.statistics.collect.ABOUT`).
    """
    table = pd.concat(runs, ignore_index=True)
    key = [*RUN, *KEYS[kind]]
    if kind == "organization":
        about = about_models(table, spec["models"])
        table = pd.concat([table, about], axis=1)
    rest = [name for name in table.columns if name not in key]
    return table[[*key, *rest]].sort_values(key, ignore_index=True)

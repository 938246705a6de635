"""Networks of the brain, as sets of targets: the ROIs of targets, or any labelled images."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.tabular import MISSING, numbers, read_table, require_columns
from lmcortex.volumes import labels_at

REGIONS = "regions"  # the atlas of the targets' own ROIs
INDEX = "index"  # column of labels in the table beside a labelled image, as BIDS names it


class Atlas(NamedTuple):
    """Networks that targets belong to.

    Attributes
    ----------
    name : of the atlas.
    networks : names.
    inside : bool (n_networks, n_targets), each network with a target at least.
    """

    name: str
    networks: list[str]
    inside: np.ndarray


def atlas_of_regions(rois: np.ndarray) -> Atlas:
    """Take the ROIs (n_targets,) of the targets for networks."""
    names = sorted({str(roi) for roi in rois})
    return Atlas(REGIONS, names, rois.astype(str) == np.array(names)[:, None])


def read_atlas(
    name: str, image: str | Path, table: str | Path, column: str, places: np.ndarray
) -> Atlas:
    """Find the network of each voxel in a labelled image, on whatever grid it is.

    Parameters
    ----------
    name : of the atlas.
    image : NIfTI image of integer labels, in the space of the voxels; 0 is no network.
    table : .tsv or .csv, one row per label: `index` and the column that names its network. Labels
        with one name are one network; those that are not listed, or without a name, are of none.
    column : of the table, the names of networks.
    places : (n_targets, 3) mm.

    Raises
    ------
    InputError : fewer than two networks, or one without any voxel.
    """
    indices, names, networks = _named(table, column)
    found = labels_at(image, places)
    if len(networks) < 2:
        raise InputError(
            f"{table}: column `{column}` names {len(networks)} networks; expected two or more"
        )
    inside = np.array([np.isin(found, indices[names == network]) for network in networks])
    if not inside.any(axis=1).all():
        absent = networks[int(np.argmin(inside.any(axis=1)))]
        raise InputError(
            f"{image}: network `{absent}` holds no voxel of the responses; check that both are in "
            f"one space, or leave it out of {table}"
        )
    return Atlas(name, networks, inside)


def network_names(table: str | Path, column: str) -> list[str]:
    """Return the networks that a table beside a labelled image names, sorted."""
    return _named(table, column)[2]


def _named(table: str | Path, column: str) -> tuple[np.ndarray, pd.Series, list[str]]:
    """Return the label and the name in each row of a table, and the names that there are."""
    rows = read_table(table)
    require_columns(rows.columns, (INDEX, column), table)
    names = rows[column].str.strip()
    return numbers(rows[INDEX], table), names, sorted(set(names) - set(MISSING))


def find_atlases(
    rois: np.ndarray,
    places: np.ndarray,
    images: Sequence[str],
    tables: Sequence[str],
    named: Sequence[dict[str, str]],
) -> list[Atlas]:
    """Return every atlas that targets are compared with; figures of maps show the first.

    Parameters
    ----------
    rois : (n_targets,).
    places : (n_targets, 3) mm.
    images, tables : of each labelled image that the dataset names.
    named : ``name`` and ``column`` of each.

    Raises
    ------
    InputError : no labelled image, and fewer than two ROIs.
    """
    own = atlas_of_regions(rois)
    atlases = [
        read_atlas(each["name"], image, table, each["column"], places)
        for image, table, each in zip(images, tables, named, strict=True)
    ]
    if len(own.networks) < 2 and not atlases:
        raise InputError(
            f"networks: all targets are of `{own.networks[0]}`; name two networks or more in "
            "`targets`, in `regions` of the dataset's atlas, or labelled images in `networks`"
        )
    return [*atlases, *([own] if len(own.networks) > 1 else [])]

"""One subject's fits, read from files as far as they are used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.homologues import halve_midline
from lmcortex.inference import block_permutations, label_blocks, resampling_weights
from lmcortex.networks.atlases import read_atlas
from lmcortex.seeds import generator

if TYPE_CHECKING:
    import xarray as xr

ALL = "all"


class Parcels(NamedTuple):
    """A labelled image whose regions are ROIs, the table of their names, and its column of them."""

    image: str | Path
    table: str | Path
    column: str


@dataclass(frozen=True)
class Sampling:
    """Resamples of samples that all models of a (dataset, fit) share.

    `folds` is (n_samples,); `weights` and `permutations` are (n, n_samples).
    """

    folds: np.ndarray
    weights: np.ndarray
    permutations: np.ndarray


class Series(NamedTuple):
    """Responses and their out-of-fold predictions.

    `response` and `known`, what a nuisance alone predicts, are (n_samples, n_targets); `prediction`
    is (n_layers, n_samples, n_targets).
    """

    response: np.ndarray
    prediction: np.ndarray
    known: np.ndarray | None

    def choose(self, targets: np.ndarray, layer: np.ndarray) -> "Series":
        """Keep some targets, and of their predictions those of one layer at each sample.

        Parameters
        ----------
        targets : indices (n,).
        layer : (n_samples, n), positions along the layers.
        """
        chosen = np.take_along_axis(self.prediction[..., targets], layer[None], axis=0)
        known = None if self.known is None else self.known[:, targets]
        return Series(self.response[:, targets], chosen, known)


@dataclass(frozen=True)
class SubjectFit:
    """One subject's fits.

    `r_test`, `r_inner` and `alpha_index` are (n_layers, n_folds, n_targets), the rest (n_targets,).
    `parts` are the files, in the order of their layers, and `first` is the place of the subject's
    first target in them.
    """

    subject: str
    r_test: np.ndarray
    r_inner: np.ndarray
    alpha_index: np.ndarray
    ceiling: np.ndarray
    hemisphere: np.ndarray
    rois: Mapping[str, np.ndarray]
    parts: Sequence["xr.Dataset"]
    first: int

    @property
    def has_predictions(self) -> bool:
        return "prediction" in self.parts[0]

    def read(self, batch: slice) -> Series:
        """Read some targets' responses and what was predicted of them."""
        here = slice(self.first + batch.start, self.first + batch.stop)
        parts = [part.isel(target=here) for part in self.parts]
        return Series(
            response=parts[0]["response"].to_numpy(),
            prediction=np.concatenate([part["prediction"].to_numpy() for part in parts]),
            known=parts[0]["known"].to_numpy() if "known" in parts[0] else None,
        )


def group_files(fits: Sequence["xr.Dataset"]) -> list[list["xr.Dataset"]]:
    """Gather the files of the same subjects, each group in the order of its layers."""
    groups: dict[tuple[str, ...], list[xr.Dataset]] = {}
    for fit in sorted(fits, key=lambda fit: int(fit["layer"][0])):
        groups.setdefault(tuple(np.unique(fit["subject"])), []).append(fit)
    return list(groups.values())


def split_subjects(
    parts: Sequence["xr.Dataset"],
    ceiling: pd.DataFrame,
    spec: Mapping[str, Any],
    roi: str,
    parcels: Parcels | None = None,
) -> Iterator[SubjectFit]:
    """Yield each subject of a group of files, in alphabetical order.

    Raises
    ------
    InputError : an ROI without targets, or a target without a row in the table of ceilings.
    """
    known = ceiling.set_index(["subject", "target"])["ceiling"]
    subjects = parts[0]["subject"].to_numpy().astype(str)
    for subject in np.unique(subjects):
        places = np.flatnonzero(subjects == subject)
        here = slice(int(places[0]), int(places[-1]) + 1)
        labels = parts[0].drop_vars(list(parts[0].data_vars)).isel(target=here).load()
        keys = pd.MultiIndex.from_product([[subject], labels["target"].to_numpy().astype(str)])
        if not keys.isin(known.index).all():
            missing = keys[~keys.isin(known.index)][0][1]
            raise InputError(
                f"ceiling of {spec['dataset']}: no row for sub-{subject}, target {missing}; "
                "estimate the ceilings again"
            )
        ceilings = known.loc[keys].to_numpy(float)
        by_fold = {
            name: np.concatenate([part[name][..., here].to_numpy() for part in parts])
            for name in ("r_test", "r_inner", "alpha_index")
        }
        hemisphere = labels["hemisphere"].to_numpy().astype(str)
        yield SubjectFit(
            subject=subject,
            **by_fold,
            ceiling=ceilings,
            hemisphere=halve_midline(hemisphere) if spec.get("halve_midline") else hemisphere,
            rois=_roi_members(
                labels, ceilings, spec.get("rois") or {}, parcels, roi, f"sub-{subject}"
            ),
            parts=parts,
            first=here.start,
        )


def _roi_members(
    labels: "xr.Dataset",
    ceilings: np.ndarray,
    definitions: Mapping[str, Any],
    parcels: Parcels | None,
    roi: str,
    where: str,
) -> dict[str, np.ndarray]:
    """Return which targets belong to each ROI asked for."""
    names = labels["roi"].to_numpy().astype(str)
    members = {name: names == name for name in dict.fromkeys(names)}
    if definitions:
        members = {
            name: _in_sphere(labels, **definition)
            if "center" in definition
            else ceilings > np.percentile(ceilings, definition["above_percentile"])
            for name, definition in definitions.items()
        }
    if parcels:
        places = np.stack([labels[axis].to_numpy() for axis in "xyz"], axis=1)
        atlas = read_atlas("parcels", *parcels, places)
        members |= dict(zip(atlas.networks, atlas.inside, strict=True))
    members[ALL] = np.ones(len(names), dtype=bool)
    if roi not in members:
        raise InputError(f"{where}: no ROI `{roi}`; it has {', '.join(members)}")
    for name, mask in members.items():
        if not mask.any():
            raise InputError(f"{where}: ROI {name} holds no target; move its center or drop it")
    return members if roi == ALL else {roi: members[roi]}


def _in_sphere(labels: "xr.Dataset", center: Sequence[float], radius: float) -> np.ndarray:
    """Return which targets lie in a sphere on the left, or in its mirror image on the right."""
    x, y, z = (labels[axis].to_numpy() for axis in "xyz")
    left = np.stack([np.where(labels["hemisphere"].to_numpy() == "R", -x, x), y, z], axis=1)
    return np.linalg.norm(left - np.array(center), axis=1) <= radius


def draw_samples(fit: "xr.Dataset", spec: Mapping[str, Any]) -> Sampling:
    """Draw resamples and permutations: the same for every model of a (dataset, fit)."""
    folds = fit["test_fold"].to_numpy()
    runs = pd.factorize(fit["run"].to_numpy())[0]
    blocks = label_blocks(runs * (folds.max() + 1) + folds, spec["resample_block"])
    key = (spec["dataset"], spec["fit"], spec["seed"])
    return Sampling(
        folds=folds,
        weights=resampling_weights(
            folds, blocks, spec["n_resamples"], generator("resamples", *key)
        ),
        permutations=block_permutations(
            folds, blocks, spec["n_permutations"], generator("permutations", *key)
        ),
    )

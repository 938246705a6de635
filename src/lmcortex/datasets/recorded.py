"""Datasets that were recorded: files of stimuli and responses, and what they hold."""

from functools import cache
from glob import glob
from pathlib import Path
from re import fullmatch
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from lmcortex import paths
from lmcortex.config import Hemisphere, Label, Name, Section, expand
from lmcortex.datasets.shared import (
    WORDS_PER_SECOND,
    Context,
    DatasetBase,
    Extent,
    Files,
    table_size,
)
from lmcortex.errors import InputError

Column = Literal[
    "item", "text", "run", "subject", "onset", "duration", "offset", "word", "sentence"
]


class Target(Section):
    """One response series: its column and where it comes from."""

    target: str
    roi: Label
    hemisphere: Hemisphere
    ceiling: float | None = Field(
        default=None, gt=0, le=1, description="published noise ceiling, r"
    )


class TextGrid(Section):
    """The tier of a Praat TextGrid that has one interval per word."""

    tier: str = "word"
    skip: list[str] = Field(default=[], description="labels that are not words")


class Corrections(Section):
    """What is mended in a table of words; rows count from 0 below the header."""

    words: dict[int, str] = Field(default={}, description="what stands in a row instead")
    drop: list[int] = Field(default=[], description="rows that are left out")
    drop_blank: bool = Field(default=False, description="leave out rows without a word")


class Labels(Section):
    """An ROI of an atlas, both sides."""

    labels: list[int] = Field(min_length=1, description="values in the atlas")


class Spheres(Section):
    """An ROI of spheres."""

    spheres: list[tuple[float, float, float]] = Field(min_length=1, description="centres, mm")
    radius: float = Field(gt=0, description="mm")


class LabelledImage(Section):
    """Networks of the brain in a labelled image, such as Schaefer's parcels."""

    image: str = Field(description="NIfTI: integer labels, in the space of the responses")
    names: str = Field(description="table beside it: `index` (the label) and a column of names")
    column: str = Field(default="name", description="of that table: which network a label is of")

    @field_validator("image", "names")
    @classmethod
    def _of_this_machine(cls, path: str) -> str:
        return expand(path, "labelled image")


@cache
def region_names(table: str, column: str) -> tuple[str, ...]:
    """Return the regions that a table beside a labelled image names.

    Raises
    ------
    InputError : a name that no file can have in its own.
    """
    from lmcortex.networks.atlases import network_names

    found = network_names(table, column)
    for name in found:
        if not fullmatch(paths.LABEL, name):
            raise InputError(
                f"{table}: column `{column}`: `{name}` is no name of an ROI; write letters and "
                "digits alone, or name a column that has such names"
            )
    return tuple(found)


class CeilingImage(Section):
    """Published ceilings of voxels."""

    image: str = Field(description="NIfTI on the voxels' grid: the ceiling (r) of the mean subject")

    @field_validator("image")
    @classmethod
    def _of_this_machine(cls, path: str) -> str:
        return expand(path, "ceiling")


class Polynomial(Section):
    polynomial: int = Field(ge=0, description="order of the drift that is taken out")


class HighPass(Section):
    high_pass: float = Field(gt=0, description="Hz; slower cosines and the trend are taken out")


class Butterworth(Section):
    butterworth: float = Field(
        gt=0, description="Hz; the trend, and then what a high-pass of order 5 lets not through"
    )


class Grid(Section):
    """The voxels to which images are brought."""

    origin: tuple[float, float, float] = Field(description="centre of the first voxel, mm")
    spacing: float = Field(gt=0, description="mm, along each axis")
    shape: tuple[int, int, int]


class Recorded(DatasetBase):
    """A dataset of files."""

    columns: dict[Column, str | None] = Field(
        default={}, description="names of the tables' columns, where not these; null: there is none"
    )
    targets: list[Target] | str = Field(
        default=[], description="columns of the responses, in order; or a table of them"
    )

    def bilateral(self) -> bool:
        if isinstance(self.targets, str) or not self.targets:
            return True
        sides = {(target.roi, target.hemisphere) for target in self.targets}
        return len(sides) > len({roi for roi, _ in sides})

    def roi_names(self) -> set[str] | None:
        if self.rois or isinstance(self.targets, str) or not self.targets:
            return super().roi_names()
        return {target.roi for target in self.targets}

    def n_targets(self) -> int:
        return table_size(self.targets)[0] if isinstance(self.targets, str) else len(self.targets)

    def n_rois(self) -> int:
        """Return how many ROIs are scored; of those that only a table names, each may be one."""
        return len(self.roi_names() or ()) or self.n_targets()

    def targets_file(self) -> Files:
        return {"targets": self.targets} if isinstance(self.targets, str) else {}

    def targets_spec(self) -> dict[str, Any]:
        """The targets without their published ceilings, on which no response depends."""
        if isinstance(self.targets, str):
            return {}
        return {
            "targets": [t.model_dump(exclude={"ceiling"}, exclude_none=True) for t in self.targets]
        }

    def published_ceilings(self) -> dict[str, float]:
        """Published noise ceilings (r) by target, those of the dataset's YAML."""
        listed = [] if isinstance(self.targets, str) else self.targets
        return {target.target: target.ceiling for target in listed if target.ceiling is not None}


class Sentences(Recorded):
    """Sentences and one response to each."""

    targets: list[Target] | str = Field(
        min_length=1, description="columns of the responses; or a table of them"
    )
    kind: Literal["sentences"]
    simulated: Literal[False] = False
    stimuli: str = Field(description="table of item, text and, with several runs, run")
    responses: str = Field(description="table of subject, item and one column per target")

    def stimulus_files(self) -> Files:
        return {"sentences": self.stimuli}

    def recording_files(self, subject: str) -> Files:
        return {"responses": self.responses.format(subject=subject), **self.targets_file()}

    def extent(self) -> Extent:
        rows, words = table_size(self.stimuli)
        return Extent(rows, 1, words, self.n_targets(), self.n_rois())

    def stimuli_spec(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"kind", "columns"})

    def responses_spec(self) -> dict[str, Any]:
        return {**self.model_dump(mode="json", include={"kind", "columns"}), **self.targets_spec()}

    def features_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "poolings": ["last", "mean"]}


class Coverage(Section):
    """The voxels that a group has in common."""

    by: Literal["intensity", "variance"] = Field(
        description="the brain by the histogram of a run's mean image; or all voxels that vary"
    )
    share: float = Field(gt=0, le=1, description="of all runs, that cover a voxel")
    mirrored: bool = Field(default=False, description="the voxel's mirror image is covered too")


class Archive(Section):
    """The OpenNeuro dataset from which a story's words and responses are fetched."""

    accession: str = Field(pattern=r"^ds\d{6}$")
    version: str
    folder: str = Field(description="root of the dataset on this machine")


class Story(Recorded):
    """A story heard in one or several runs."""

    kind: Literal["story"]
    simulated: Literal[False] = False
    archive: Archive | None = Field(
        default=None, description="where words and responses that are not on disk are fetched from"
    )
    task: Name | None = Field(default=None, description="what {task} in a path stands for")
    words: str = Field(
        description="table of onset, duration, word, a TextGrid, or Gentle's align.json; {run}"
    )
    text: str | None = Field(default=None, description="full text with punctuation; {run}")
    textgrid: TextGrid = TextGrid()
    corrections: Corrections | None = None
    spellings: dict[str, str] = Field(
        default={}, description="spoken words that `text` may write in another way"
    )
    responses: str = Field(
        description="time x target: .csv, .tsv, .txt or .npy, or NIfTI; {subject}, {run}, or `*` "
        "for what differs between files that are the runs in order of their names"
    )
    mask: str | None = Field(default=None, description="NIfTI: the brain")
    coverage: Coverage | None = Field(
        default=None, description="NIfTI: the mask is what enough runs cover (inside `mask`)"
    )
    grid: Grid | None = Field(
        default=None, description="NIfTI: bring images to this grid; without it they share one"
    )
    smoothing: float | None = Field(
        default=None,
        gt=0,
        description="NIfTI: width at half height, mm, of the Gaussian that images are smoothed by",
    )
    atlas: str | None = Field(default=None, description="NIfTI: integer labels of regions")
    regions: dict[Label, Labels | Spheres] = Field(
        default={}, description="NIfTI: ROIs whose voxels are read; all of the mask without any"
    )
    networks: dict[Label, LabelledImage] = Field(
        default={},
        description="NIfTI: labelled images that maps of atoms are compared with "
        "(`analyses: [networks]`), the first one foremost",
    )
    parcels: LabelledImage | None = Field(
        default=None,
        description="NIfTI: a labelled image, each region of which is an ROI beside `rois`, left "
        "and right by place",
    )
    voxels: int = Field(
        default=30_000,
        ge=1,
        description="NIfTI: about how many voxels the regions, or the mask, hold; jobs ask for "
        "memory and time by it",
    )
    runs: list[Label] = Field(default=["1"], min_length=1)
    samples: int | list[int] = Field(description="of each run, before trimming")
    tr: float = Field(gt=0, description="seconds from one sample to the next")
    start: float = Field(default=0, description="seconds of the first sample on the words' clock")
    trim: tuple[int, int] = Field(
        default=(0, 0), description="samples dropped at either end of a run"
    )
    detrend: Polynomial | HighPass | Butterworth | None = None
    zscore: Literal["trimmed", "whole"] = Field(
        default="trimmed",
        description="which part of a person's run gets mean 0 and sd 1: what is left once it is "
        "trimmed, or the whole",
    )
    ceiling: Literal["pairs", "half-groups"] | CeilingImage = Field(
        default="pairs",
        description="of the mean subject: from the correlation of pairs of subjects; a ridge from "
        "half of the subjects to the others, as in Bonnasse-Gahot & Pallier 2024; or an image",
    )
    context: Context = Context()
    characters: bool = Field(
        default=False, description="a word is the mean of its characters (Chinese), not its tokens"
    )

    def stimulus_files(self) -> Files:
        texts = {"text": self.per_run(self.text)} if self.text else {}
        return {"words": self.per_run(self.words), **texts}

    @model_validator(mode="before")
    @classmethod
    def _name_the_task(cls, content: Any) -> Any:
        task = content.get("task") if isinstance(content, dict) else None
        if not isinstance(task, str):
            return content
        return {
            key: value.replace("{task}", task) if isinstance(value, str) else value
            for key, value in content.items()
        }

    @model_validator(mode="after")
    def _has_targets(self) -> "Story":
        if bool(self.targets) == self.has_images():
            raise ValueError(
                "give `targets`, or a `mask` or `coverage` where the responses are NIfTI images"
            )
        if self.networks and not self.has_images():
            raise ValueError(
                "`networks` need voxels; give a `mask` or `coverage`, or leave them out"
            )
        if self.parcels and not self.has_images():
            raise ValueError("`parcels` are of voxels; give a `mask` or `coverage`")
        if self.smoothing and not self.has_images():
            raise ValueError("`smoothing` is of images; give a `mask` or `coverage`")
        if self.ceiling_files() and not self.has_images():
            raise ValueError(
                "an image of ceilings is of voxels; give each of `targets` its `ceiling`"
            )
        return self

    @model_validator(mode="after")
    def _keeps_in_the_archive(self) -> "Story":
        if self.archive and not self.archived_parts():
            raise ValueError(
                f"neither words nor responses are in the archive's folder {self.archive.folder}"
            )
        return self

    def has_images(self) -> bool:
        return bool(self.mask or self.coverage)

    def half_groups(self) -> bool:
        return self.ceiling == "half-groups"

    def is_archived(self, name: str) -> bool:
        """Tell whether the `words`, or the `responses`, come from the archive."""
        folder = self.archive and self.archive.folder
        return folder is not None and Path(getattr(self, name)).is_relative_to(folder)

    def archived_parts(self) -> list[str]:
        """What may be asked of the archive: `words`, and `sub-{subject}` for responses."""
        people = [f"sub-{subject}" for subject in self.subjects]
        words = ["words"] if self.is_archived("words") else []
        return [*words, *(people if self.is_archived("responses") else [])]

    def archived_files(self, part: str) -> list[str]:
        """What is asked of the archive: the `words`, or the responses of `sub-{subject}`."""
        if part == "words":
            return self.per_run(self.words)
        return self.per_run(self.responses, part.removeprefix("sub-"))

    def recording_files(self, subject: str) -> Files:
        volumes = {"mask": self.mask, "atlas": self.atlas}
        given: Files = {name: path for name, path in volumes.items() if path}
        files: Files = {"responses": self.response_files(subject)}
        return {**files, **given, **self.targets_file()}

    def ceiling_files(self) -> Files:
        return {"image": self.ceiling.image} if isinstance(self.ceiling, CeilingImage) else {}

    def parcel_files(self) -> Files:
        found = self.parcels
        return {"parcels": found.image, "names": found.names} if found else {}

    def parcel_names(self) -> tuple[str, ...]:
        return region_names(self.parcels.names, self.parcels.column) if self.parcels else ()

    def roi_names(self) -> set[str] | None:
        given = super().roi_names()
        return given and given | set(self.parcel_names())

    def network_files(self) -> Files:
        """The labelled images that maps are compared with, and their tables."""
        chosen = self.networks.values()
        files: Files = {
            "images": [each.image for each in chosen],
            "names": [each.names for each in chosen],
        }
        return files if self.networks else {}

    def network_columns(self) -> list[dict[str, str]]:
        return [{"name": name, "column": each.column} for name, each in self.networks.items()]

    def n_labels(self) -> int:
        return sum(table_size(each.names)[0] for each in self.networks.values())

    def has_voxels(self) -> bool:
        return self.voxelwise or self.mask is not None

    def n_targets(self) -> int:
        return self.voxels if self.has_images() else super().n_targets()

    def n_rois(self) -> int:
        if not self.has_images():
            return super().n_rois()
        return (len(self.rois or self.regions) or 1) + len(self.parcel_names())

    def extent(self) -> Extent:
        n_runs = len(self.runs)
        samples = self.samples * n_runs if isinstance(self.samples, int) else sum(self.samples)
        words = round(samples * self.tr * WORDS_PER_SECOND)
        return Extent(samples, n_runs, words, self.n_targets(), self.n_rois())

    def per_run(self, pattern: str, subject: str = "") -> list[str]:
        """Return the file of each run; one file that holds all runs is named once."""
        files = [pattern.format(run=run, subject=subject) for run in self.runs]
        return list(dict.fromkeys(files))

    def response_files(self, subject: str) -> list[str]:
        """Return the responses of each run; the pattern itself where no file matches it."""
        files = self.per_run(self.responses, subject)
        return sorted(glob(files[0])) or files if "*" in self.responses else files

    def stimuli_spec(self) -> dict[str, Any]:
        timing = {"kind", "columns", "textgrid", "runs", "samples", "tr", "start", "trim"}
        mending = {name for name in ("corrections", "spellings") if getattr(self, name)}
        return self.model_dump(mode="json", include=timing | mending)

    def responses_spec(self) -> dict[str, Any]:
        recording = {"kind", "runs", "samples", "tr", "trim", "detrend"}
        spec = self.model_dump(mode="json", include=recording)
        if self.zscore == "whole":
            spec["zscore"] = self.zscore
        if self.has_images():
            images = self.model_dump(mode="json", include={"regions", "grid", "smoothing"})
            ways = {name: images[name] for name in ("grid", "smoothing") if images[name]}
            # Not everyone's images need hold a signal in each voxel of the group's.
            flat = {"may_be_flat": True} if self.coverage and self.coverage.share < 1 else {}
            return {**spec, "rois": images["regions"], **ways, **flat}
        return {**spec, **self.targets_spec()}

    def coverage_spec(self) -> dict[str, Any]:
        images = self.model_dump(mode="json", include={"coverage", "grid"}, exclude_none=True)
        grid = {"grid": images["grid"]} if "grid" in images else {}
        return {**images["coverage"], **grid}

    def features_spec(self) -> dict[str, Any]:
        context = self.context.model_dump() | ({"characters": True} if self.characters else {})
        return {"kind": self.kind, "poolings": ["word"], "context": context}

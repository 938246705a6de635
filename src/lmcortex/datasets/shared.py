"""What recorded and simulated datasets have in common."""

from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from lmcortex.config import Label, Section
from lmcortex.registry import Model

Files = dict[str, str | list[str]]  # by the command line option that takes them

WORDS_PER_SECOND = 3.0  # of a story: 2.9 in Alice, 2.7 in The Little Prince
# What is taken for a table that is not there yet.
UNKNOWN_ROWS, UNKNOWN_WORDS = 1000, 20_000


class Extent(NamedTuple):
    """How much a dataset holds: near enough to say what a job will need, read from no response.

    Attributes
    ----------
    samples : rows of the design, sentences or samples of all runs.
    runs : of a story; 1 for sentences.
    words : that a model reads.
    targets : response series of one subject.
    rois : regions that scores are given for.
    """

    samples: int
    runs: int
    words: int
    targets: int
    rois: int


@cache
def table_size(path: str) -> tuple[int, int]:
    """Count the rows below a table's header, and its words; a stated number if it is missing."""
    if not Path(path).is_file():
        return UNKNOWN_ROWS, UNKNOWN_WORDS
    with open(path, "rb") as file:
        counts = [len(line.replace(b",", b" ").split()) for line in file]
    return max(1, len(counts) - 1), sum(counts)


class Sphere(Section):
    """An ROI of a voxel-wise dataset: its left centre; the right one is its mirror image."""

    center: tuple[float, float, float] = Field(description="MNI mm, left (x < 0)")
    radius: float = Field(default=10, gt=0, description="mm")


class Reliable(Section):
    """An ROI of a voxel-wise dataset: the voxels with the highest ceilings."""

    above_percentile: float = Field(ge=0, lt=100, description="of the ceilings of all voxels")


class Context(Section):
    """How much of a story a model reads at once."""

    tokens: int | None = Field(
        default=None, ge=8, description="window length; default: the model's context"
    )
    new_tokens: int = Field(default=64, ge=1, description="tokens by which a window moves on")


class DatasetBase(Section):
    """What every dataset has."""

    title: str
    citation: str = ""
    licence: str = ""
    subjects: list[Label] = Field(min_length=1, description="subject labels")
    individuals: list[Label] | None = Field(
        default=None, description="subjects who are fitted one by one; all of them if not given"
    )
    excluded: dict[Label, str] = Field(default={}, description="subjects left out, and why")
    average: bool = Field(default=True, description="also fit the mean response over subjects")
    voxelwise: bool = Field(
        default=False, description="one fitting job per subject; ROIs are `rois`"
    )
    rois: dict[Label, Sphere | Reliable] = Field(
        default={}, description="ROIs of a voxel-wise dataset: spheres, or reliable voxels"
    )
    lobes: dict[Literal["temporal", "frontal"], list[Label]] = Field(
        default={}, description="ROIs whose learning curves are compared (docs/geometry.md)"
    )
    layers_per_job: int | None = Field(default=None, ge=1)
    kind: Literal["sentences", "story"]
    simulated: bool = False

    @model_validator(mode="after")
    def _subjects_are_apart(self) -> "DatasetBase":
        if len(set(self.subjects)) < len(self.subjects):
            raise ValueError("a subject stands twice in `subjects`")
        if len(self.subjects) > 1 and {"average", "group"} & set(self.subjects):
            raise ValueError("`average` and `group` are made from the subjects; leave them out")
        if unknown := sorted(set(self.individuals or ()) - set(self.subjects)):
            raise ValueError(f"`individuals`: {unknown[0]} is not among `subjects`")
        return self

    def fitted_subjects(self) -> list[str]:
        """Each individual, and the mean of all subjects where there are several."""
        with_mean = self.average and len(self.subjects) > 1
        return [*self.single_subjects(), *(["average"] if with_mean else [])]

    def single_subjects(self) -> list[str]:
        """The subjects who are fitted one by one."""
        return self.subjects if self.individuals is None else self.individuals

    def subject_blocks(self) -> list[str]:
        """What the subject in the name of a fit may be: all at once, or one per job."""
        return self.fitted_subjects() if self.voxelwise else ["all"]

    def speaking_subjects(self) -> list[str]:
        """Who speaks for the dataset: mean response and mean of scores, or its one subject."""
        fitted = self.fitted_subjects()
        several = len(self.single_subjects()) > 1
        means = [*(["average"] if "average" in fitted else []), *(["group"] if several else [])]
        return means or fitted

    def has_voxels(self) -> bool:
        """Tell whether its targets are voxels, which have maps."""
        return self.voxelwise

    def bilateral(self) -> bool:
        """Tell whether some ROI has targets in both hemispheres."""
        return True

    def roi_definitions(self) -> dict[str, Any]:
        return {roi: found.model_dump(mode="json") for roi, found in sorted(self.rois.items())}

    def parcel_files(self) -> Files:
        """The labelled image whose regions are ROIs, and the table of their names."""
        return {}

    def parcel_names(self) -> tuple[str, ...]:
        return ()

    def network_files(self) -> Files:
        """The files that say which networks there are beside the ROIs of the targets."""
        return {}

    def network_columns(self) -> list[dict[str, str]]:
        """The columns of those files' tables that name networks."""
        return []

    def n_labels(self) -> int:
        """Return how many labels those tables have: about how many networks, at most."""
        return 0

    def roi_names(self) -> set[str] | None:
        """The ROIs that scores can be asked for by name; None if only the files know."""
        return set(self.rois) or None

    def lobe_rois(self) -> dict[str, list[str]]:
        """The ROIs of the temporal and the frontal lobe, sorted; none where they are not named."""
        return {lobe: sorted(rois) for lobe, rois in self.lobes.items()}

    def half_groups(self) -> bool:
        """Tell whether half of the subjects predict the other half for the mean's ceiling."""
        return False

    def ceiling_files(self) -> Files:
        """The file of published ceilings, if there is one."""
        return {}

    def published_ceilings(self) -> dict[str, float]:
        return {}

    def planted_models(self) -> list[Model]:
        return []

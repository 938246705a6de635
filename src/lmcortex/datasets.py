"""Dataset files (config/datasets/): where stimulus and responses are, and what they hold."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from lmcortex import registry
from lmcortex.config import Hemisphere, Label, Section, check, expand, read_yaml
from lmcortex.errors import InputError
from lmcortex.registry import Model

Files = dict[str, str | list[str]]  # by the command line option that takes them


class Target(Section):
    """One response series: its column and where it comes from."""

    target: str
    roi: Label
    hemisphere: Hemisphere
    ceiling: float | None = Field(
        default=None, gt=0, le=1, description="published noise ceiling, r"
    )


class Sphere(Section):
    """An ROI of a voxel-wise dataset: its left centre; the right one is its mirror image."""

    center: tuple[float, float, float] = Field(description="MNI mm, left (x < 0)")
    radius: float = Field(default=10, gt=0, description="mm")


Column = Literal["item", "text", "run", "subject", "onset", "duration", "word", "sentence"]


class TextGrid(Section):
    """The tier of a Praat TextGrid that has one interval per word."""

    tier: str = "word"
    skip: list[str] = Field(default=[], description="labels that are not words")


class Labels(Section):
    """An ROI of an atlas, both sides."""

    labels: list[int] = Field(min_length=1, description="values in the atlas")


class Spheres(Section):
    """An ROI of spheres."""

    spheres: list[tuple[float, float, float]] = Field(min_length=1, description="centres, mm")
    radius: float = Field(gt=0, description="mm")


class Context(Section):
    """How much of a story a model reads at once."""

    tokens: int | None = Field(
        default=None, ge=8, description="window length; default: the model's context"
    )
    new_tokens: int = Field(default=64, ge=1, description="tokens by which a window moves on")


class Polynomial(Section):
    polynomial: int = Field(ge=0, description="order of the drift that is taken out")


class HighPass(Section):
    high_pass: float = Field(gt=0, description="Hz; slower cosines and the trend are taken out")


class _Dataset(Section):
    """What every dataset has."""

    title: str
    citation: str = ""
    licence: str = ""
    subjects: list[Label] = Field(min_length=1, description="subject labels")
    excluded: dict[Label, str] = Field(default={}, description="subjects left out, and why")
    average: bool = Field(default=True, description="also fit the mean response over subjects")
    voxelwise: bool = Field(
        default=False, description="one fitting job per subject; ROIs are `rois`"
    )
    rois: dict[Label, Sphere] = Field(default={}, description="spheres of a voxel-wise dataset")
    layers_per_job: int | None = Field(default=None, ge=1)
    kind: Literal["sentences", "story"]
    simulated: bool = False

    @model_validator(mode="after")
    def _subjects_are_apart(self) -> "_Dataset":
        if len(set(self.subjects)) < len(self.subjects):
            raise ValueError("a subject stands twice in `subjects`")
        if len(self.subjects) > 1 and {"average", "group"} & set(self.subjects):
            raise ValueError("`average` and `group` are made from the subjects; leave them out")
        return self

    def fitted_subjects(self) -> list[str]:
        """Each subject, and their mean where there are several."""
        with_mean = self.average and len(self.subjects) > 1
        return [*self.subjects, *(["average"] if with_mean else [])]

    def subject_blocks(self) -> list[str]:
        """What the subject in the name of a fit may be: all at once, or one per job."""
        return self.fitted_subjects() if self.voxelwise else ["all"]

    def bilateral(self) -> bool:
        """Tell whether some ROI has targets in both hemispheres."""
        return True

    def roi_spheres(self) -> dict[str, Any]:
        return {roi: sphere.model_dump(mode="json") for roi, sphere in sorted(self.rois.items())}

    def roi_names(self) -> set[str] | None:
        """The ROIs that scores can be asked for by name; None if only the files know."""
        return set(self.rois) or None

    def published_ceilings(self) -> dict[str, float]:
        return {}

    def planted_models(self) -> list[Model]:
        return []


class _Recorded(_Dataset):
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


class Sentences(_Recorded):
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

    def stimuli_spec(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"kind", "columns"})

    def responses_spec(self) -> dict[str, Any]:
        return {**self.model_dump(mode="json", include={"kind", "columns"}), **self.targets_spec()}

    def features_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "poolings": ["last", "mean"]}


class Story(_Recorded):
    """A story heard in one or several runs."""

    kind: Literal["story"]
    simulated: Literal[False] = False
    words: str = Field(description="table of onset, duration, word, or a TextGrid; {run}")
    text: str | None = Field(default=None, description="full text with punctuation; {run}")
    textgrid: TextGrid = TextGrid()
    responses: str = Field(
        description="time x target: .csv, .tsv, .txt or .npy, or NIfTI; {subject}, {run}"
    )
    mask: str | None = Field(default=None, description="NIfTI: the brain")
    atlas: str | None = Field(default=None, description="NIfTI: integer labels of regions")
    regions: dict[Label, Labels | Spheres] = Field(
        default={}, description="NIfTI: ROIs whose voxels are read; all of the mask without any"
    )
    runs: list[Label] = Field(default=["1"], min_length=1)
    samples: int | list[int] = Field(description="of each run, before trimming")
    tr: float = Field(gt=0, description="seconds from one sample to the next")
    start: float = Field(default=0, description="seconds of the first sample on the words' clock")
    trim: tuple[int, int] = Field(
        default=(0, 0), description="samples dropped at either end of a run"
    )
    detrend: Polynomial | HighPass | None = None
    context: Context = Context()

    def stimulus_files(self) -> Files:
        texts = {"text": self.per_run(self.text)} if self.text else {}
        return {"words": self.per_run(self.words), **texts}

    @model_validator(mode="after")
    def _has_targets(self) -> "Story":
        if bool(self.targets) == bool(self.mask):
            raise ValueError("give `targets`, or a `mask` where the responses are NIfTI images")
        return self

    def recording_files(self, subject: str) -> Files:
        volumes = {"mask": self.mask, "atlas": self.atlas}
        given: Files = {name: path for name, path in volumes.items() if path}
        files: Files = {"responses": self.per_run(self.responses, subject)}
        return {**files, **given, **self.targets_file()}

    def per_run(self, pattern: str, subject: str = "") -> list[str]:
        """Return the file of each run; one file that holds all runs is named once."""
        files = [pattern.format(run=run, subject=subject) for run in self.runs]
        return list(dict.fromkeys(files))

    def stimuli_spec(self) -> dict[str, Any]:
        timing = {"kind", "columns", "textgrid", "runs", "samples", "tr", "start", "trim"}
        return self.model_dump(mode="json", include=timing)

    def responses_spec(self) -> dict[str, Any]:
        recording = {"kind", "runs", "samples", "tr", "trim", "detrend"}
        spec = self.model_dump(mode="json", include=recording)
        if self.mask:
            return {**spec, "rois": self.model_dump(mode="json", include={"regions"})["regions"]}
        return {**spec, **self.targets_spec()}

    def features_spec(self) -> dict[str, Any]:
        context = self.context.model_dump()
        return {"kind": self.kind, "poolings": ["word"], "context": context}


class Stimuli(Section):
    """What is drawn from the prose that no suite model is trained on."""

    sentences: int | None = Field(
        default=None, ge=10, description="at most; fewer if the text has fewer"
    )
    words: tuple[int, int] | None = Field(default=None, description="shortest and longest sentence")
    runs: int | None = Field(default=None, ge=1)
    samples: int | None = Field(default=None, ge=20, description="per run")
    held_out: float = Field(gt=0, lt=1, description="share of the text, at most that of the suite")
    latents: int = Field(ge=1, description="latent signals per region, unrelated to the text")
    seed: int = 0


class States(Section):
    """The layer of a model whose states drive the responses."""

    model: str
    pooling: Literal["last", "mean", "word"]
    layer: int = Field(ge=0)


class Signal(Section):
    """What simulated subjects share, and what they do not."""

    states: States
    variance: dict[Literal["states", "latents"], float]
    gain: dict[str, dict[Hemisphere, float]] = Field(description="by region and hemisphere")
    noise: float = Field(gt=0, description="standard deviation; that of the shared signal is 1")
    autocorrelation: float = Field(default=0, ge=0, lt=1)
    targets: int = Field(ge=1, description="per ROI and hemisphere")
    seed: int = 0


class Share(Section):
    intercept: float
    slope: float = Field(description="per log10(parameters)")


class Learning(Section):
    """When a planted model learns what serves each region."""

    size: int
    steps: list[int]
    onset50: dict[str, float] = Field(description="step at which half is learnt, by region")
    width: float = Field(gt=0, description="of the sigmoid, in log10(steps)")


class Planted(Section):
    """Pseudo-models planted-{n_params} that carry a stated share of the latents."""

    sizes: list[int] = Field(min_length=3)
    share: Share
    layers: list[float] = Field(min_length=1, description="relative share of layers 0, 1, ...")
    learning: Learning | None = None

    def law(self) -> dict[str, Any]:
        """What the features of one model depend on: not which other sizes and steps there are."""
        return self.model_dump(
            mode="json", include={"share": True, "layers": True, "learning": {"onset50", "width"}}
        )


class _Simulated(_Dataset):
    """A dataset in which effects are planted (lmcortex.simulation)."""

    simulated: Literal[True] = True
    stimuli: Stimuli
    regions: dict[str, dict[Label, tuple[float, float, float]]] = Field(
        description="region -> ROI -> left centre, MNI mm"
    )
    signal: Signal
    planted: Planted

    def stimulus_files(self) -> Files:
        return {}

    def recording_files(self, subject: str) -> Files:
        return {}

    def roi_names(self) -> set[str] | None:
        return {roi for rois in self.regions.values() for roi in rois}

    @model_validator(mode="after")
    def _regions_are_known(self) -> "_Simulated":
        settings: dict[str, dict[str, Any]] = {"signal.gain": self.signal.gain}
        if self.planted.learning:
            settings["planted.learning.onset50"] = {**self.planted.learning.onset50}
        for key, by_region in settings.items():
            if set(by_region) != set(self.regions):
                expected = ", ".join(sorted(self.regions))
                raise ValueError(f"{key} names {', '.join(sorted(by_region))}; expected {expected}")
        return self

    def planted_models(self) -> list[Model]:
        """The pseudo-models; only the one of `learning` has training steps."""
        learning = self.planted.learning
        return [
            registry.pseudo_model(
                f"planted-{size}",
                n_layers=len(self.planted.layers) - 1,
                steps=tuple(learning.steps) if learning and size == learning.size else (),
            )
            for size in self.planted.sizes
        ]

    def responses_spec(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"kind", "regions", "signal"})


class SimulatedSentences(_Simulated):
    kind: Literal["sentences"]

    def stimuli_spec(self) -> dict[str, Any]:
        regions = sorted(self.regions)
        stimuli = self.stimuli.model_dump(mode="json", exclude_none=True)
        return {"kind": self.kind, "stimuli": stimuli, "regions": regions}

    def features_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "poolings": ["last", "mean"]}


class SimulatedStory(_Simulated):
    kind: Literal["story"]
    tr: float = Field(default=2.0, gt=0, description="seconds from one sample to the next")
    context: Context = Context()

    def stimuli_spec(self) -> dict[str, Any]:
        regions = sorted(self.regions)
        stimuli = self.stimuli.model_dump(mode="json", exclude_none=True)
        return {"kind": self.kind, "stimuli": stimuli, "regions": regions, "tr": self.tr}

    def features_spec(self) -> dict[str, Any]:
        context = self.context.model_dump()
        return {"kind": self.kind, "poolings": ["word"], "context": context}


Dataset = Sentences | Story | SimulatedSentences | SimulatedStory
KINDS: dict[tuple[str, bool], type[Dataset]] = {
    ("sentences", False): Sentences,
    ("story", False): Story,
    ("sentences", True): SimulatedSentences,
    ("story", True): SimulatedStory,
}


def load_dataset(name: str, folder: Path) -> Dataset:
    """Read config/datasets/{name}.yaml, and look that every file it names is there.

    Raises
    ------
    InputError : a wrong key, an environment variable that is not set, or a missing file.
    """
    path = folder / "datasets" / f"{name}.yaml"
    content = read_yaml(path)
    kind = (str(content.get("kind")), bool(content.get("simulated", False)))
    if kind not in KINDS:
        raise InputError(f"{path}: `kind` is {kind[0]!r}; expected sentences or story")
    for key in ("stimuli", "words", "text", "responses", "mask", "atlas", "targets"):
        if isinstance(content.get(key), str):
            content[key] = expand(content[key], f"{path}: {key}")
            check_places(content[key], f"{path}: {key}")
    dataset = check(KINDS[kind], content, str(path))
    named = [dataset.stimulus_files(), *map(dataset.recording_files, dataset.subjects)]
    for file in (file for files in named for entry in files.values() for file in listed(entry)):
        if not Path(file).exists():
            raise InputError(f"{path}: {file}: no such file; see docs/datasets.md")
    return dataset


def listed(entry: str | list[str]) -> list[str]:
    return [entry] if isinstance(entry, str) else entry


def check_places(pattern: str, where: str) -> None:
    """Refuse a path with a place other than {run} and {subject}."""
    try:
        pattern.format(run="1", subject="01")
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"{where}: {pattern}: unknown place {error}; known: {{run}}, {{subject}}"
        ) from None

"""Configuration files, checked before any job: unknown keys and wrong values are one-line errors.

A study file (config/studies/) names datasets (config/datasets/), fits (config/fits.yaml) and models
(config/models.yaml, config/suites.yaml). No file is merged with another.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lmcortex import paths
from lmcortex.errors import InputError, suggestion

Name = Annotated[str, Field(pattern=f"^({paths.NAME})$")]
Label = Annotated[str, Field(pattern=f"^({paths.LABEL})$")]
Limit = Annotated[int, Field(ge=1)]
Hemisphere = Literal["L", "R"]
Swap = Literal["random", "pos", "embedding", "masked"]
Baseline = Literal["word-rate", "position", "random-embedding", "random-vector"]
Kind = TypeVar("Kind", bound=BaseModel)
Value = TypeVar("Value")
UNLIMITED = 10**9  # more than any job asks for
BASELINES: tuple[Baseline, ...] = ("word-rate", "position", "random-embedding")


class Section(BaseModel):
    """A part of a configuration file; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- site ---------------------------------------------------------------------------------------


class Partition(Section):
    """The most that one job may ask for in a partition, in the words of the Slurm plugin."""

    max_runtime: Limit = Field(default=UNLIMITED, description="minutes")
    max_mem_mb: Limit = Field(default=UNLIMITED, description="MB")
    max_threads: Limit = UNLIMITED
    max_gpu: int = Field(default=0, ge=0, description="GPU jobs go only where this is above zero")
    available_gpu_models: list[str] = Field(default=[], description="none: of any kind")


class Site(Section):
    """What belongs to the machine, and the study that runs by default.

    From config/config.yaml, on a cluster profiles/slurm/site.yaml on top of it, and --config.
    """

    study: str = Field(default="demo", description="name of a file in config/studies, or a path")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="where models and encoders run; under cuda a missing GPU is an error",
    )
    targets_per_batch: int = Field(
        default=2000,
        ge=1,
        description="voxels that an encoder is fitted to at a time: bounds a job's memory",
    )
    weights_budget_gb: float | None = Field(
        default=None,
        gt=0,
        description="most room for downloaded weights, in 10^9 bytes: a download waits until it "
        "fits, and weights go when their last job is done; none: all are kept",
    )
    weights_wait_hours: float = Field(
        default=24, gt=0, description="how long a download waits for room before it fails"
    )
    account: str | None = Field(
        default=None, min_length=1, description="Slurm account of all jobs; none: the user's own"
    )
    gpu_model: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_.]+$", description="kind of GPU to ask Slurm for"
    )
    partitions: dict[str, Partition] = Field(
        default={}, description="where Slurm jobs may go; none: to the default partition"
    )


# --- fits -----------------------------------------------------------------------------------------


class Folds(Section):
    """How samples are split into folds for cross-validation."""

    scheme: Literal["shuffled", "blocks", "runs"] = Field(
        description="shuffled items; contiguous blocks; or one run left out at a time"
    )
    n: int = Field(default=5, ge=3, description="number of folds (not used by `runs`)")
    seed: int = Field(default=0, description="seed of the shuffle")
    gap: float = Field(
        default=0, ge=0, description="least distance between training and test: seconds, or items"
    )


class Alphas(Section):
    """Ridge penalties: logspace(low, high, n)."""

    low: float = -3
    high: float = 5
    n: int = Field(default=17, ge=1)
    scale: Literal["trace", "none"] = Field(
        default="trace",
        description="trace: times trace(K) / n_samples, which means the same for every width",
    )
    choice: Literal["target", "common"] = Field(
        default="target",
        description="target: each target's own, by the squared error over all inner folds; common: "
        "one for all, by their mean r on the first inner fold, as in Bonnasse-Gahot & Pallier 2024",
    )


class Delays(Section):
    """Finite impulse response: copies of the features, delayed."""

    delays: list[float] = Field(min_length=1, description="seconds")


class Glover(Section):
    """The Glover HRF with an undershoot of another weight."""

    undershoot: float = Field(ge=0, description="0.48 in nilearn since version 0.11, before 0.35")


class Fit(Section):
    """A named encoding setting."""

    kind: Literal["sentences", "story"] = Field(description="kind of dataset it applies to")
    pooling: Literal["last", "mean", "word"] = Field(
        description="how token states become a row: a sentence's last or mean token, or its words"
    )
    response: Literal["glover"] | Glover | Delays | None = Field(
        default=None, description="story: haemodynamic response by the Glover HRF or by FIR delays"
    )
    folds: Folds
    alphas: Alphas = Alphas()
    nuisance: list[Baseline] = Field(
        default=[],
        description="baselines that are known already (banded ridge): scored is the gain in r of "
        "the model together with them over them alone",
    )
    layer_choice: Literal["nested", "test"] = Field(
        default="nested",
        description="nested: by inner folds; test: the best test score, as in Bonnasse-Gahot & "
        "Pallier 2024 (optimistic)",
    )
    midline: Literal["none", "by-order"] = Field(
        default="none",
        description="side of voxels at x = 0: none, so that they count for both sides together "
        "alone; or the first half left, the rest right, as in Bonnasse-Gahot & Pallier 2024",
    )
    n_permutations: int = Field(default=1000, ge=1)
    n_resamples: int = Field(default=1000, ge=2)
    resample_block: int = Field(default=1, ge=1, description="consecutive samples kept together")
    seed: int = 0

    @model_validator(mode="after")
    def _kind_fits(self) -> "Fit":
        story = self.kind == "story"
        if story != (self.pooling == "word"):
            raise ValueError("pooling is `word` for a story, `last` or `mean` for sentences")
        if story != (self.response is not None):
            raise ValueError("a story needs `response`, and sentences have none")
        if self.nuisance and (self.alphas.scale, self.alphas.choice) != ("trace", "target"):
            raise ValueError("with a nuisance, alphas are scaled by the trace, for each target")
        return self


# --- texts of swapped words -----------------------------------------------------------------------


class Passages(Section):
    """Passages of a text, in which windows are measured."""

    words: int = Field(default=40, ge=5, description="of a passage, marks and numbers dropped")
    sequences: int = Field(default=100, ge=2)
    swap: Swap = Field(
        default="random",
        description="what takes a word's place: any word of the text; one of the same part of "
        "speech (needs a column pos); one whose embedding is as far as any other's; one that a "
        "masked language model finds likely",
    )
    lags: int = Field(default=20, ge=2, description="last word of a window after the swapped one")

    @model_validator(mode="after")
    def _is_long_enough(self) -> "Passages":
        if self.words < self.lags + 3:
            raise ValueError(f"passages of {self.lags + 3} words or more are needed for the lags")
        return self


class Yoking(Section):
    """Series of sentences of one length, in which structure yoking is measured."""

    lengths: list[Annotated[int, Field(ge=4, le=36)]] = Field(
        default=[12], min_length=1, description="words of a sentence; one measurement for each"
    )
    sentences: int = Field(default=5, ge=3, description="of a series")
    sequences: int = Field(default=250, ge=2)
    swap: Swap = "embedding"


class Distance(Section):
    """Allowed distances of embeddings: six bins of `spacing` about the middle."""

    middle: float = Field(gt=0, description="mean absolute difference over the units")
    spacing: float = Field(gt=0)


class Published(Section):
    """Medians over units that a paper reports, by layer: drawn as marks beside those found."""

    model: Name
    citation: str
    weight: dict[int, float] = Field(default={}, description="of the power law in the mixture")
    exponent: dict[int, float] = Field(default={}, description="of the power law in the mixture")


class Text(Section):
    """An entry of config/windows.yaml: a text, and how its words are swapped."""

    source: str = Field(
        description="`pydoc`, a .txt file, a folder of them, or a table (.csv, .tsv) of words with "
        "columns word and, where known, sentence, pos and document"
    )
    passages: Passages = Passages()
    yoking: Yoking | None = Field(default=Yoking(), description="null: a text without sentences")
    distance: Distance | None = Field(
        default=None,
        description="of embedding swaps; none: about the median of the words' distances",
    )
    masked_model: Name | None = Field(default=None, description="of masked swaps, in models.yaml")
    units: int | None = Field(
        default=None, ge=1, description="of each layer, evenly spaced; none: all"
    )
    published: Published | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _names_its_masked_model(self) -> "Text":
        swaps = {self.passages.swap, self.yoking.swap if self.yoking else None}
        if ("masked" in swaps) != (self.masked_model is not None):
            raise ValueError("masked swaps need `masked_model`, and no others do")
        return self


# --- studies --------------------------------------------------------------------------------------


class LogSpaced(Section):
    """That many checkpoints, each at about twice the step of the one before, and the last."""

    log_spaced: int = Field(ge=2)


class StudyModel(Section):
    """One model of a study and the checkpoints wanted of it."""

    name: Name
    checkpoints: Literal["all", "final"] | list[str] | LogSpaced = "final"


class Geometry(Section):
    """Settings of `analyses: [geometry]`: the first choice, which headline numbers rest on.

    All variants are computed whatever is chosen (docs/geometry.md).
    """

    entropy: Literal["raw", "normalised", "centred", "skean"] = Field(
        default="raw", description="states that make the Gram matrix"
    )
    entropy_unit: Literal["nats", "log tokens"] = "nats"
    curvature: Literal["steps", "tokens"] = Field(
        default="steps", description="angles between consecutive steps, or consecutive states"
    )
    first_token: bool = Field(default=True, description="whether a sentence's first token counts")
    last_layer: Literal["residual", "normed", "left out"] = Field(
        default="residual", description="what stands for the last layer"
    )


class Networks(Section):
    """Settings of `analyses: [networks]` (docs/networks.md)."""

    n_atoms: int = Field(default=64, ge=2, description="k of the dictionary")
    penalty: float = Field(
        default=0.08,
        gt=0,
        lt=1,
        description="lambda of the dictionary, for signals and atoms of unit length; the default "
        "gives MiniLM on alice a mean R2 of .55 and is used for every model",
    )
    epochs: int = Field(default=8, ge=1, description="how often the solver sees each neuron")
    seeds: int = Field(default=3, ge=1, description="starts, the best of which is kept")
    sweep: list[int] = Field(default=[], description="further numbers of atoms, as a check")
    matched_neurons: int | None = Field(
        default=None, ge=2, description="also learn atoms from so many neurons, drawn at random"
    )
    level: float = Field(
        default=0.05, gt=0, lt=1, description="of the maps' false discovery rate and of p"
    )
    top_share: float = Field(
        default=0.1, gt=0, le=1, description="of targets, where none passes the level"
    )
    dice: float = Field(
        default=0.2, ge=0, le=1, description="least Dice coefficient of an atom with its network"
    )
    n_null: int = Field(default=1000, ge=1, description="phase-randomised sets of atoms")
    n_draws: int = Field(
        default=10_000, ge=1, description="random draws of atoms, for the null of consistency"
    )


class Study(Section):
    """config/studies/*.yaml: what to compare with what."""

    title: str
    question: str = ""
    datasets: list[Name] = Field(min_length=1)
    fits: list[Name] = Field(min_length=1, description="each applies to datasets of its kind")
    models: list[StudyModel] = Field(min_length=1)
    baselines: list[Baseline] = Field(default=list(BASELINES), description="run beside the models")
    glove: str | None = Field(
        default=None,
        description="file of word vectors (GloVe's .txt: on each line a word and its numbers); "
        "adds the baseline `glove`",
    )
    embedding_seeds: int = Field(
        default=5, ge=1, le=9, description="draws of the random embedding and of random vectors"
    )
    untrained: bool = Field(
        default=True, description="add each architecture with fresh weights (seed 1)"
    )
    analyses: list[Literal["geometry", "windows", "networks"]] = Field(
        default=[],
        description="what is computed beside encoders: docs/{geometry,windows,networks}.md",
    )
    geometry: Geometry = Geometry()
    windows: list[Name] = Field(
        default=[], description="texts of config/windows.yaml, for `analyses: [windows]`"
    )
    networks: Networks = Networks()

    @model_validator(mode="after")
    def _names_texts_for_windows(self) -> "Study":
        if ("windows" in self.analyses) != bool(self.windows):
            raise ValueError("`analyses: [windows]` and `windows: [a text]` go together")
        return self


# --- reading --------------------------------------------------------------------------------------


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration file, which is a mapping of names."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        found = [other.stem for other in sorted(path.parent.glob("*.yaml"))]
        raise InputError(f"{path}: no such file; {suggestion(path.stem, found)}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {content!r}")
    return content


def check(kind: type[Kind], content: Any, where: str) -> Kind:
    """Return `content` as a `kind`; the first thing wrong with it is a one-line InputError."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(kind, error)}") from None


def _explain(kind: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "extra_forbidden":
            section = _section(kind, first["loc"][:-1])
            known = suggestion(str(first["loc"][-1]), section.model_fields) if section else ""
            return f"unknown key `{place}`; {known}"
        case "missing":
            return f"key `{place}` is missing"
        case _:
            message = first["msg"].removeprefix("Value error, ")
            return f"`{place}` is {first['input']!r}: {message}" if place else message


def _section(kind: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the section class at `place` inside `kind`."""
    for part in place:
        if isinstance(part, str) and part in kind.model_fields:
            inner = _section_in(kind.model_fields[part].annotation)
            if inner is None:
                return None
            kind = inner
    return kind


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_section_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((section for section in inner if section), None)


def pick(name: str, known: dict[str, Value], what: str, where: str) -> Value:
    """Return `known[name]`, or say which names there are."""
    if name not in known:
        raise InputError(f"{where}: unknown {what} `{name}`; {suggestion(name, known)}")
    return known[name]


def expand(path: str, where: str) -> str:
    """Replace ${NAME} in a path by the environment variable of that name."""
    expanded = os.path.expandvars(os.path.expanduser(path))
    if "$" in expanded:
        variable = expanded.partition("$")[2].strip("{").partition("}")[0]
        raise InputError(
            f"{where}: {path} needs the environment variable {variable}; set it to the folder "
            "that holds the data"
        )
    return expanded


def load_fits(folder: Path) -> dict[str, Fit]:
    path = folder / "fits.yaml"
    return {name: check(Fit, fit, f"{path}: {name}") for name, fit in read_yaml(path).items()}


def load_texts(folder: Path) -> dict[str, Text]:
    path = folder / "windows.yaml"
    return {name: check(Text, text, f"{path}: {name}") for name, text in read_yaml(path).items()}


def load_study(study: str, folder: Path) -> tuple[str, Study]:
    """Read a study by its name in config/studies, or by its path; return its name and content."""
    path = (
        Path(study) if study.endswith((".yaml", ".yml")) else folder / "studies" / f"{study}.yaml"
    )
    return path.stem, check(Study, read_yaml(path), str(path))

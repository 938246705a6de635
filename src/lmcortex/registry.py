"""The models that a study may name, and what their checkpoints are called.

``config/models.yaml`` lists published models by family, ``config/suites.yaml`` the small models
that the workflow trains itself; baselines and planted models are pseudo-models that need no entry.
"""

import re
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from lmcortex.config import Baseline, LogSpaced, Name, Section, check, read_yaml
from lmcortex.errors import InputError, suggestion
from lmcortex.suite import n_params

Role = Literal["trained", "baseline", "planted"]
PLANTED = re.compile(r"planted-(\d+)")
UNTRAINED = re.compile(r"untrained-seed(\d+)")
STEP = re.compile(r"step(\d+)")


class Model(Section):
    """One entry of the registry."""

    name: Name
    family: str
    role: Role = "trained"
    repo: str | None = Field(default=None, description="Hugging Face id")
    folder: str | None = Field(
        default=None, description="local folder in Hugging Face layout; may hold {step}"
    )
    package: str | None = Field(default=None, description="Python package that carries the weights")
    subfolder: str | None = Field(default=None, description="folder inside the package")
    suite: str | None = Field(
        default=None, description="suite of config/suites.yaml that trains it"
    )
    tokenizer: str | None = Field(
        default=None, description="Hugging Face id that holds the tokenizer, where `repo` has none"
    )
    task: Literal["causal", "masked"] = "causal"
    n_params: int | None = Field(default=None, ge=1)
    n_layers: int = Field(ge=0)
    width: int = Field(ge=1)
    context: int | None = Field(default=None, ge=1, description="tokens; none for recurrent models")
    revision: str = Field(default="main", description="revision of a checkpoint, e.g. step{step}")
    steps: tuple[int, ...] = Field(default=(), description="training steps that were published")
    tokens_per_step: int | None = None
    bad_checkpoints: tuple[str, ...] = Field(default=(), description="known to hold wrong weights")
    weights: Literal["safetensors", "bin"] = "safetensors"
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="precision of the forward pass"
    )
    citation: str = Field(default="", description="paper of the model or its family")
    perplexity: float | None = Field(default=None, description="published, on WikiText-2")
    benchmark: float | None = Field(
        default=None, description="published HellaSwag accuracy, percent"
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> "Model":
        sources = [self.repo, self.folder, self.package, self.suite]
        if self.role == "trained" and sum(source is not None for source in sources) != 1:
            raise ValueError("give one of repo, folder, package or suite")
        if self.tokenizer and not self.repo:
            raise ValueError("`tokenizer` goes with `repo`")
        stepped = self.suite or "{step}" in f"{self.revision} {self.folder}"
        if self.role == "trained" and self.steps and not stepped:
            raise ValueError("models with steps need {step} in their revision or folder")
        return self

    @property
    def source(self) -> str:
        kinds = {"hub": self.repo, "folder": self.folder, "package": self.package}
        return next((kind for kind, value in kinds.items() if value), "suite")

    @property
    def final(self) -> str:
        """Name of the last checkpoint; `final` in a configuration means this one."""
        return f"step{self.steps[-1]}" if self.steps else "main"

    def checkpoints(self, wanted: str | list[str] | LogSpaced, where: str) -> list[str]:
        """Resolve what a study asks for into canonical checkpoint names, in order."""
        good = tuple(step for step in self.steps if f"step{step}" not in self.bad_checkpoints)
        if isinstance(wanted, LogSpaced):
            return [f"step{step}" for step in log_spaced(good, wanted.log_spaced, where)]
        if wanted == "all":
            return [f"step{step}" for step in good] or [self.final]
        names = ["final"] if wanted == "final" else list(wanted)
        return list(dict.fromkeys(self.checkpoint(name, where) for name in names))

    def checkpoint(self, name: str, where: str) -> str:
        """Return the canonical name of one checkpoint."""
        if name in ("final", "main"):
            name = self.final
        known = [self.final, *(f"step{step}" for step in self.steps)]
        if name in self.bad_checkpoints:
            raise InputError(
                f"{where}: {self.name} {name} is known to hold wrong weights "
                "(bad_checkpoints in config/models.yaml); choose another step"
            )
        if name not in known and not UNTRAINED.fullmatch(name):
            raise InputError(
                f"{where}: {self.name} has no checkpoint `{name}`; "
                f"{suggestion(name, [*known, 'untrained-seed1', 'final'])}"
            )
        return name

    def describe(self, final: str) -> dict[str, Any]:
        """Say what the tables hold of a model whose last checkpoint in a study is `final`."""
        about = {"role", "family", "n_params", "tokens_per_step", "perplexity", "benchmark"}
        if self.role == "trained":  # the width of a pseudo-model is that of its latents, or none
            about.add("width")
        return {**self.model_dump(mode="json", include=about, exclude_none=True), "final": final}

    def revision_of(self, checkpoint: str) -> str:
        """Return the revision that holds a checkpoint's files.

        What belongs to no step, such as the configuration for fresh weights, is taken from main.
        """
        if "{step}" not in self.revision:
            return self.revision
        step = STEP.fullmatch(checkpoint)
        return self.revision.format(step=step[1]) if step else "main"


def log_spaced(steps: tuple[int, ...], n: int, where: str) -> list[int]:
    """Choose `n` steps, each at most twice the one before; the first and the last are among them.

    Of Pythia's 154 steps, 19 are 1, 2, 4, ..., 512, 1000, 2000, ..., 128000, 143000.
    """
    left = [step for step in sorted(steps) if step > 0]
    ladder: list[int] = []
    while left:
        doubled = [step for step in left if ladder and step <= 2 * ladder[-1]]
        ladder.append(doubled[-1] if doubled else left[0])
        left = [step for step in left if step > ladder[-1]]
    if n > len(ladder):
        raise InputError(f"{where}: {n} log-spaced checkpoints asked for, {len(ladder)} exist")
    return [ladder[round(i * (len(ladder) - 1) / (n - 1))] for i in range(n)]


def pseudo_model(name: str, n_layers: int = 0, steps: tuple[int, ...] = ()) -> Model:
    """Return the entry of a baseline or planted model, which is computed, not loaded."""
    if planted := PLANTED.fullmatch(name):
        return Model(
            name=name,
            family="planted",
            role="planted",
            n_params=int(planted[1]),
            n_layers=n_layers,
            width=1,
            steps=steps,
        )
    assert name in PSEUDO_NAMES, name
    return Model(name=name, family="baseline", role="baseline", n_layers=0, width=1)


PSEUDO_NAMES = (*get_args(Baseline), "glove")
PSEUDO_NAME = "|".join((*PSEUDO_NAMES, r"planted-\d+"))


class SuiteModel(Section):
    """Size and training of one model of a suite."""

    n_layers: int = Field(ge=1)
    width: int = Field(ge=1)
    n_heads: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    checkpoints: list[int] = Field(min_length=1, description="steps; the last ends the training")

    @model_validator(mode="after")
    def _can_be_trained(self) -> "SuiteModel":
        if self.checkpoints != sorted(set(self.checkpoints)):
            raise ValueError("checkpoints must rise")
        if self.width % (8 * self.n_heads):
            raise ValueError("width must be a multiple of 8 n_heads, for rotary positions")
        return self


class Suite(Section):
    """Small models that the workflow trains itself (config/suites.yaml)."""

    text: str = Field(description="`pydoc`, or a folder of .txt files")
    vocabulary: int = Field(ge=257)
    context: int = Field(ge=8, description="tokens per sequence")
    batch: int = Field(ge=1, description="sequences per step")
    held_out: float = Field(gt=0, lt=1, description="share of the passages kept for validation")
    warmup: int = Field(ge=0, description="steps until the learning rate peaks")
    seed: int = 0
    models: dict[Name, SuiteModel]


def load_suites(folder: Path) -> dict[str, Suite]:
    path = folder / "suites.yaml"
    return {name: check(Suite, suite, f"{path}: {name}") for name, suite in read_yaml(path).items()}


def load_models(folder: Path) -> dict[str, Model]:
    """Read the registry: published models and those of the local suites."""
    path = folder / "models.yaml"
    models: dict[str, Model] = {}
    for family, content in read_yaml(path).items():
        if not isinstance(content, dict) or not isinstance(content.get("models"), dict):
            raise InputError(f"{path}: {family}: a family needs `models:` with an entry for each")
        shared = {key: value for key, value in content.items() if key != "models"}
        for name, entry in content["models"].items():
            merged = {"family": family, **shared, **(entry or {}), "name": name}
            models[name] = check(Model, merged, f"{path}: {name}")
    for name, suite in load_suites(folder).items():
        models |= {size: suite_model(name, suite, size) for size in suite.models}
    return models


def suite_model(name: str, suite: Suite, size: str) -> Model:
    model = suite.models[size]
    return Model(
        name=size,
        family=name,
        suite=name,
        n_params=n_params(model.n_layers, model.width, suite.vocabulary),
        n_layers=model.n_layers,
        width=model.width,
        context=suite.context,
        steps=tuple(model.checkpoints),
        tokens_per_step=suite.batch * suite.context,
    )

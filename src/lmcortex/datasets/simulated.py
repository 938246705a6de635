"""Datasets that are simulated: what is drawn, and what is planted (lmcortex.simulation)."""

from typing import Any, Literal

from pydantic import Field, model_validator

from lmcortex import registry
from lmcortex.config import Hemisphere, Label, Section
from lmcortex.datasets.shared import (
    UNKNOWN_ROWS,
    UNKNOWN_WORDS,
    WORDS_PER_SECOND,
    Context,
    DatasetBase,
    Extent,
    Files,
)
from lmcortex.registry import Model


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


class Neurons(Section):
    """Sub-groups of neurons of the largest planted model; each region is driven by one."""

    size: int = Field(ge=1, description="neurons of a sub-group in each layer")
    idle: int = Field(default=0, ge=0, description="sub-groups that drive nothing")


class Planted(Section):
    """Pseudo-models planted-{n_params} that carry a stated share of the latents."""

    sizes: list[int] = Field(min_length=3)
    share: Share
    layers: list[float] = Field(min_length=1, description="relative share of layers 0, 1, ...")
    learning: Learning | None = None
    neurons: Neurons | None = None

    def law(self) -> dict[str, Any]:
        """What the features of one model depend on: not which other sizes and steps there are."""
        return self.model_dump(
            mode="json", include={"share": True, "layers": True, "learning": {"onset50", "width"}}
        )

    def neuron_law(self) -> dict[str, Any]:
        """What the neurons of the largest model depend on."""
        return self.law() | self.model_dump(mode="json", include={"neurons"})


class Simulated(DatasetBase):
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

    def lobe_rois(self) -> dict[str, list[str]]:
        return {region: sorted(rois) for region, rois in self.regions.items()}

    def roi_names(self) -> set[str] | None:
        return {roi for rois in self.regions.values() for roi in rois}

    def n_rois(self) -> int:
        return sum(map(len, self.regions.values()))

    def n_targets(self) -> int:
        return 2 * self.n_rois() * self.signal.targets

    @model_validator(mode="after")
    def _regions_are_known(self) -> "Simulated":
        settings: dict[str, dict[str, Any]] = {"signal.gain": self.signal.gain}
        if self.planted.learning:
            settings["planted.learning.onset50"] = {**self.planted.learning.onset50}
        for key, by_region in settings.items():
            if set(by_region) != set(self.regions):
                expected = ", ".join(sorted(self.regions))
                raise ValueError(f"{key} names {', '.join(sorted(by_region))}; expected {expected}")
        return self

    @model_validator(mode="after")
    def _sub_groups_drive_a_region_each(self) -> "Simulated":
        if self.planted.neurons and (self.kind, self.stimuli.latents) != ("story", 1):
            raise ValueError(
                f"planted.neurons: found kind {self.kind} and stimuli.latents "
                f"{self.stimuli.latents}; expected a story and 1, or leave planted.neurons out"
            )
        return self

    def model_with_neurons(self) -> str | None:
        """The largest planted model, if its neurons are planted."""
        return f"planted-{max(self.planted.sizes)}" if self.planted.neurons else None

    def neurons_of_layer(self) -> int:
        """The neurons in each layer of that model."""
        neurons = self.planted.neurons
        return neurons.size * (len(self.regions) + neurons.idle) if neurons else 0

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


class SimulatedSentences(Simulated):
    kind: Literal["sentences"]

    def extent(self) -> Extent:
        samples = self.stimuli.sentences or UNKNOWN_ROWS
        longest = self.stimuli.words[1] if self.stimuli.words else UNKNOWN_WORDS // UNKNOWN_ROWS
        return Extent(samples, 1, samples * longest, self.n_targets(), self.n_rois())

    def stimuli_spec(self) -> dict[str, Any]:
        regions = sorted(self.regions)
        stimuli = self.stimuli.model_dump(mode="json", exclude_none=True)
        return {"kind": self.kind, "stimuli": stimuli, "regions": regions}

    def features_spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "poolings": ["last", "mean"]}


class SimulatedStory(Simulated):
    kind: Literal["story"]
    tr: float = Field(default=2.0, gt=0, description="seconds from one sample to the next")
    context: Context = Context()

    def extent(self) -> Extent:
        runs = self.stimuli.runs or 1
        samples = runs * (self.stimuli.samples or UNKNOWN_ROWS)
        words = round(samples * self.tr * WORDS_PER_SECOND)
        return Extent(samples, runs, words, self.n_targets(), self.n_rois())

    def stimuli_spec(self) -> dict[str, Any]:
        regions = sorted(self.regions)
        stimuli = self.stimuli.model_dump(mode="json", exclude_none=True)
        return {"kind": self.kind, "stimuli": stimuli, "regions": regions, "tr": self.tr}

    def features_spec(self) -> dict[str, Any]:
        context = self.context.model_dump()
        return {"kind": self.kind, "poolings": ["word"], "context": context}

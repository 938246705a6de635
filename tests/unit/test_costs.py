"""Costs against independent counts: bytes that were allocated or written, operations, windows."""

import math
import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from threadpoolctl import threadpool_limits
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel

from lmcortex import baselines, costs, encoding, models, responses, scores, specs, storage
from lmcortex.config import Fit, Site, Study, Text
from lmcortex.costs import MIB, Cost
from lmcortex.datasets import Sentences, SimulatedSentences, SimulatedStory, Story
from lmcortex.datasets.shared import UNKNOWN_ROWS
from lmcortex.encoding import banded, devices, ridge, rotations
from lmcortex.features import batches
from lmcortex.features.stories import windows
from lmcortex.folds import make_folds
from lmcortex.models import residual_states
from lmcortex.plan import Plan, load_plan
from lmcortex.registry import Model
from lmcortex.scores import regions
from lmcortex.simulation import text
from lmcortex.windows import differences, measure
from lmcortex.windows.tokens import Special

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
STORY = {
    "title": "A story",
    "kind": "story",
    "words": "words-{run}.tsv",
    "responses": "sub-{subject}_run-{run}.nii",
    "mask": "mask.nii",
    "runs": ["1", "2", "3", "4", "5"],
    "samples": 60,
    "tr": 2,
    "subjects": ["01"],
    "voxels": 400,
    "voxelwise": True,
}
NETWORK = {"name": "net", "family": "pythia", "repo": "a/net", "n_layers": 6, "width": 96}
FITS = {
    "story": {
        "kind": "story",
        "pooling": "word",
        "response": "glover",
        "folds": {"scheme": "runs"},
    },
    "items": {"kind": "sentences", "pooling": "last", "folds": {"scheme": "shuffled"}},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def plan_of(dataset: Any, *, device: str = "cpu", fit: dict | None = None, **model: Any) -> Plan:
    """Return the plan of a study of one dataset, one fit and one model."""
    name = "items" if dataset.kind == "sentences" else "story"
    return Plan(
        name="toy",
        study=Study(title="Toy", datasets=["d"], fits=[name], models=[{"name": "net"}]),
        site=Site(device=device),
        datasets={"d": dataset},
        fits={name: Fit.model_validate(FITS[name] | (fit or {}))},
        models={"net": Model.model_validate(NETWORK | model)},
        suites={},
    )


def story(**changes: Any) -> Story:
    return Story.model_validate(STORY | changes)


def allocated_mb(work: Callable[[], Any]) -> float:
    """Return the most that was allocated at once while `work` ran."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / MIB


# --- requests -------------------------------------------------------------------------------------


def test_requests_grow_with_each_attempt() -> None:
    cost = Cost(mem_mb=10_000, seconds=7200)
    memory = [costs.memory_request(cost, attempt) for attempt in (1, 2, 3)]
    minutes = [costs.runtime_request(cost, attempt) for attempt in (1, 2, 3)]
    assert memory[0] > 10_000 + costs.HEADROOM_MB and minutes[0] > 120
    assert np.allclose(np.divide(memory, memory[0]), [1, 2, 3], rtol=1e-3)
    assert np.allclose(np.divide(minutes, minutes[0]), [1, 2, 3], rtol=1e-3)


def test_a_tiny_job_asks_for_the_floor() -> None:
    tiny = Cost(mem_mb=1, seconds=1)
    assert costs.memory_request(tiny) == costs.requests.MEMORY_FLOOR_MB + costs.HEADROOM_MB
    assert (
        costs.runtime_request(tiny)
        == costs.requests.TIME_FLOOR_MINUTES + costs.requests.STARTUP_MINUTES
    )


def rules() -> dict[str, str]:
    """Return the text of every rule."""
    texts = [path.read_text("utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk"))]
    parts = [part for text in texts for part in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]]
    return {part.partition(":")[0]: part for part in parts}


@pytest.mark.parametrize(("rule", "text"), rules().items(), ids=rules())
def test_a_rule_asks_for_memory_and_time_and_for_a_gpu_if_it_takes_a_device(rule, text) -> None:
    assert re.search(r"^        mem_mb=", text, re.MULTILINE)
    assert re.search(r"^        runtime=", text, re.MULTILINE)
    assert ("gpu=1," in text) == ("--device" in text)


def test_nothing_waits_for_a_checkpoint_that_waits_for_room() -> None:
    in_turn = {rule for rule, text in rules().items() if "fetching=1," in text}
    assert in_turn == {"fetch_checkpoint"}


def test_on_a_cluster_all_gpu_jobs_have_more_than_one_core() -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text("utf-8"))
    on_gpu = {rule for rule, text in rules().items() if "gpu=1," in text}
    assert {rule for rule, threads in profile["set-threads"].items() if threads > 1} == on_gpu


@pytest.mark.parametrize(("rule", "text"), rules().items(), ids=rules())
def test_a_rule_asks_by_the_formula_that_its_plan_is_made_of(rule, text) -> None:
    formula = costs.FORMULAS.get(rule, costs.small)
    assert set(re.findall(r"_of\(costs\.(\w+)\)", text)) == {formula.__name__}


def test_every_formula_belongs_to_a_rule() -> None:
    assert set(costs.FORMULAS) <= set(rules())


def test_what_many_jobs_share_is_reckoned_once(monkeypatch) -> None:
    calls = []

    def counted(plan: Plan, dataset: str) -> Cost:
        calls.append(dataset)
        return Cost(1, 1)

    monkeypatch.setitem(costs.FORMULAS, "average_responses", counted)
    estimate = costs.estimator(plan_of(story()))
    for subject in range(1000):
        estimate("average_responses", {"dataset": "d", "subject": f"{subject:03}"})
    assert calls == ["d"]


def test_constants_are_those_of_the_code() -> None:
    assert costs.features.BATCH_TOKENS == batches.BATCH_TOKENS
    assert costs.windows.BLOCK_BYTES == measure.BLOCK_BYTES
    assert costs.windows.BATCH_PLACES == differences.BATCH_PLACES
    assert costs.windows.HALVES == differences.HALVES
    assert costs.encoding.PREDICTIONS_AT_ONCE == ridge.PREDICTIONS_AT_ONCE
    assert len(banded.SHARES) == costs.encoding.SHARES
    assert costs.encoding.COLUMNS_PER_BATCH == regions.COLUMNS_PER_BATCH
    for name in ("random-embedding", "random-vector"):
        assert costs.features.BASELINE_WIDTHS[name] == baselines.EMBEDDING_WIDTH
    assert costs.features.BUMP_WIDTHS == baselines.WIDTHS
    items = pd.DataFrame({"run": np.repeat(["1", "2", "3", "4", "5"], 60)})
    plan = plan_of(story())
    assert costs.features.columns(plan, "d", "position") == baselines.position(items).shape[1]


def test_the_tokens_of_swapped_sequences_are_those_that_are_read(monkeypatch) -> None:
    counted = []
    read = models.residual_states

    def count(model: Any, tokens: torch.Tensor, **inputs: Any) -> list[torch.Tensor]:
        counted.append(tokens.numel())
        return read(model, tokens, **inputs)

    monkeypatch.setattr(models, "residual_states", count)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = AutoConfig.for_model("gpt_neox", vocab_size=9, intermediate_size=8, **sizes)
    network: Any = AutoModel.from_config(config).eval()
    asked = Text(source="pydoc", passages={"words": 40, "sequences": 32}, yoking=None)
    words = [[[1]] * 40] * 32
    sequences = differences.Sequences(words, words, Special([], []))
    differences.accumulate(
        sequences, network, n_lags=21, layers=[0], units=np.arange(2), causal=True
    )
    plan = replace(plan_of(story()), texts={"prose": asked})
    reckoned = costs.windows.passes(plan, "prose", "net")[0] / costs.features.TOKENS_PER_WORD
    assert sum(counted) == pytest.approx(reckoned, rel=0.35)


# --- extents --------------------------------------------------------------------------------------


def test_the_extent_of_a_simulated_story_is_near_what_is_simulated() -> None:
    found = load_plan({"study": "demo"}, CONFIG).datasets["simulated-story"]
    assert isinstance(found, SimulatedStory)
    spec = found.stimuli_spec()
    items, words = text.simulate_story(spec["stimuli"], spec["tr"])
    extent = found.extent()
    assert extent.samples == len(items) and extent.runs == items["run"].nunique()
    assert 1 <= extent.words / len(words) < 1.6


def test_the_extent_of_simulated_sentences_is_no_less_than_what_is_simulated() -> None:
    found = load_plan({"study": "demo"}, CONFIG).datasets["simulated-sentences"]
    assert isinstance(found, SimulatedSentences)
    items, words = text.simulate_sentences(found.stimuli_spec()["stimuli"])
    extent = found.extent()
    assert extent.samples >= len(items) and extent.words >= len(words)


def sentences(folder: Path, **changes: Any) -> Sentences:
    return Sentences.model_validate(
        {
            "title": "Sentences",
            "kind": "sentences",
            "stimuli": str(folder / "stimuli.csv"),
            "responses": str(folder / "responses.csv"),
            "targets": [{"target": "a", "roi": "IFG", "hemisphere": "L"}],
            "subjects": ["01"],
            **changes,
        }
    )


def test_sentences_and_targets_are_counted_in_their_tables(tmp_path) -> None:
    (tmp_path / "stimuli.csv").write_text("item,text\na,One two three.\nb,Four five.\n")
    (tmp_path / "targets.csv").write_text("target,roi,hemisphere\n" + "t,IFG,L\n" * 7)
    extent = sentences(tmp_path, targets=str(tmp_path / "targets.csv")).extent()
    assert (extent.samples, extent.targets) == (2, 7)
    assert 5 <= extent.words <= 9  # items and the header among them


def test_a_table_that_is_missing_counts_as_a_stated_number(tmp_path) -> None:
    assert sentences(tmp_path / "nowhere").extent().samples == UNKNOWN_ROWS


# --- features -------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [64, 500, 100_000])
def test_tokens_read_are_those_of_the_windows(context) -> None:
    plan = plan_of(story(context={"tokens": context, "new_tokens": 16}))
    extent = plan.datasets["d"].extent()
    run = math.ceil(costs.features.TOKENS_PER_WORD * extent.words / extent.runs)
    spans = windows(run, min(context, run), 16)
    counted = extent.runs * int((spans[:, 1] - spans[:, 0]).sum())
    assert costs.features.reading(plan, "d", plan.model("net")).tokens == pytest.approx(
        counted, rel=1e-3
    )


def test_operations_of_a_forward_pass_are_those_that_torch_counts() -> None:
    sizes = {"hidden_size": 96, "num_hidden_layers": 6, "intermediate_size": 384}
    config = AutoConfig.for_model("gpt_neox", vocab_size=300, num_attention_heads=4, **sizes)
    model = AutoModel.from_config(config, attn_implementation="eager").eval()
    with FlopCounterMode(display=False) as counter:
        residual_states(model, torch.zeros((2, 128), dtype=torch.long))
    network = Model.model_validate(NETWORK)
    attention = 4 * network.n_layers * network.width * 128
    expected = 256 * (2 * costs.models.computing_params(network) + attention)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.02)


def test_features_on_disk_are_as_large_as_was_reckoned(tmp_path) -> None:
    plan = plan_of(story())
    rows = plan.datasets["d"].extent().words
    arrays = batches.empty_arrays(["word"], layers=range(7), n_rows=rows, width=96)
    storage.write_arrays(arrays, tmp_path / "features.safetensors", {})
    written = (tmp_path / "features.safetensors").stat().st_size / MIB
    assert costs.extract_features(plan, "d", "net").disk_mb == pytest.approx(written, rel=0.01)


def test_twice_the_layers_are_twice_the_features() -> None:
    disk = [
        costs.extract_features(plan_of(story(), n_layers=n - 1), "d", "net").disk_mb
        for n in (8, 16)
    ]
    assert disk[1] == pytest.approx(2 * disk[0])


def test_on_a_gpu_the_weights_are_in_its_memory() -> None:
    large = {"n_params": 7 * 10**9, "n_layers": 32, "width": 4096}
    cost = costs.extract_features(plan_of(story(), device="cuda", **large), "d", "net")
    half = costs.extract_features(
        plan_of(story(), device="cuda", dtype="bfloat16", **large), "d", "net"
    )
    assert cost.gpu_mb > 4 * 7e9 / MIB
    assert 2 * 7e9 / MIB < half.gpu_mb < 0.6 * cost.gpu_mb
    assert costs.extract_features(plan_of(story(), **large), "d", "net").gpu_mb == 0


def test_auto_asks_for_the_memory_of_a_gpu_and_the_time_of_a_core() -> None:
    auto, cpu = (
        costs.fit_encoding(plan_of(story(), device=device), "d", "story", "net", "00-06", "01")
        for device in ("auto", "cpu")
    )
    assert auto.seconds == cpu.seconds
    assert auto.mem_mb >= cpu.mem_mb + costs.machines.CUDA_MB


# --- responses ------------------------------------------------------------------------------------


def items_of(plan: Plan) -> pd.DataFrame:
    extent = plan.datasets["d"].extent()
    runs = np.repeat([str(run) for run in range(extent.runs)], extent.samples // extent.runs)
    times = 2.0 * np.arange(len(runs))
    names = [f"run-{run}_tr-{n:04}" for n, run in enumerate(runs)]
    return pd.DataFrame({"item": names, "run": runs, "time": times, "text": ""})


def recorded(plan: Plan, subject: str = "01") -> Any:
    n = plan.datasets["d"].extent().targets
    sides = np.where(np.arange(n) % 2, "L", "R")
    rows = [{"target": f"t{i}", "roi": "brain", "hemisphere": side} for i, side in enumerate(sides)]
    items = items_of(plan)
    values = np.random.default_rng(0).standard_normal((len(items), n))
    table = responses.target_table(rows)
    return responses.to_dataset(values, items, table, dataset="d", subject=subject)


def test_responses_on_disk_are_as_large_as_was_reckoned(tmp_path) -> None:
    plan = plan_of(story())
    storage.write_dataset(recorded(plan), tmp_path / "responses.nc", {})
    written = (tmp_path / "responses.nc").stat().st_size / MIB
    assert costs.prepare_responses(plan, "d").disk_mb == pytest.approx(written, rel=0.1)


def test_average_and_ceiling_allocate_what_was_reckoned(tmp_path) -> None:
    from lmcortex import ceilings

    labels = ["01", "02", "03", "04"]
    plan = plan_of(story(subjects=labels, voxels=3000))
    halved = plan_of(story(subjects=labels, voxels=3000, ceiling="half-groups"))
    with ExitStack() as files:
        subjects = []
        for label in labels:
            storage.write_dataset(recorded(plan, label), tmp_path / label, {})
            subjects.append(files.enter_context(storage.open_dataset(tmp_path / label)))
        for cost, work in (
            (costs.average_responses(plan, "d"), responses.average),
            (costs.estimate_ceiling(plan, "d"), ceilings.estimate),
            (costs.estimate_ceiling(halved, "d"), partial(ceilings.estimate, half_groups=True)),
        ):
            peak = allocated_mb(lambda work=work: work(subjects))
            assert 0.6 < peak / (cost.mem_mb - costs.machines.TABLES_MB) < 1.1


# --- encoding -------------------------------------------------------------------------------------


def fit_once(plan: Plan, width: int, n_layers: int, folder: Path) -> Path:
    """Fit as the command does, from responses that are read to a file that grows."""
    items, rng = items_of(plan), np.random.default_rng(1)
    spec = specs.fit_encoding(plan, "d", "story", "net", "main") | {"kind": "sentences"}
    layers = {n: rng.random((len(items), width), np.float32) for n in range(n_layers)}
    features = encoding.Features("items", layers)
    stacked = encoding.stack_responses([recorded(plan)], items)
    frame = encoding.fit_frame(features, stacked, make_folds(spec["folds"], items), spec)
    variables = encoding.fit_variables(stacked, spec)
    path = folder / "fit.nc"
    with storage.growing_dataset(frame, variables, path) as (fit, attributes):
        sizes = {"device": "cpu", "batch": plan.site.targets_per_batch}
        known = [
            encoding.Features("items", {0: rng.random((len(items), 2))}) for _ in spec["nuisance"]
        ]
        encoding.fill_fit(
            fit, features, stacked, items, pd.DataFrame(), spec, nuisance=known, **sizes
        )
        attributes["provenance"] = {}
    return path


def responses_mb(plan: Plan) -> float:
    """Return what the responses take, which are in memory here and not in a file."""
    return recorded(plan)["response"].nbytes / MIB


@pytest.mark.parametrize(("width", "voxels"), [(40, 2500), (400, 800)], ids=["columns", "samples"])
def test_a_fit_allocates_what_was_reckoned(width, voxels, tmp_path) -> None:
    fit_once(plan_of(story(voxels=4)), width, 1, tmp_path)  # imports
    plan = plan_of(story(voxels=voxels, tr=1 / 3), width=width)  # as many words as samples
    cost = costs.fit_encoding(plan, "d", "story", "net", "00-02", "01")
    peak = allocated_mb(lambda: fit_once(plan, width, 3, tmp_path)) - responses_mb(plan)
    assert 0.6 < peak / (cost.mem_mb - costs.machines.RIDGE_MB) < 1.0


def test_a_fit_beyond_nuisances_allocates_what_was_reckoned(tmp_path) -> None:
    fit = {"nuisance": ["word-rate", "position"]}
    fit_once(plan_of(story(voxels=4), fit=fit), 40, 1, tmp_path)  # imports
    plan = plan_of(story(voxels=800, tr=1 / 3), fit=fit, width=40)
    cost = costs.fit_encoding(plan, "d", "story", "net", "00", "01")
    peak = allocated_mb(lambda: fit_once(plan, 40, 1, tmp_path)) - responses_mb(plan)
    assert 0.6 < peak / (cost.mem_mb - costs.machines.RIDGE_MB) < 1.0


def test_more_voxels_take_no_more_memory_than_a_batch_of_them(tmp_path) -> None:
    peaks = []
    for voxels in (1000, 5000):
        plan = plan_of(story(voxels=voxels))
        site = plan.site.model_copy(update={"targets_per_batch": 500})
        work = partial(fit_once, replace(plan, site=site), 20, 2, tmp_path)
        work()
        peaks.append(allocated_mb(work) - responses_mb(plan))
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("width", [30, 300], ids=["columns", "samples"])
def test_operations_of_a_fit_are_those_of_its_matrix_products(width, monkeypatch) -> None:
    """Counted by torch, on tensors of the processor in the place of a GPU's."""
    monkeypatch.setattr(devices, "put", tensor)
    monkeypatch.setattr(ridge, "put", tensor)
    monkeypatch.setattr(rotations, "put", tensor)
    plan = plan_of(story(voxels=5000, tr=1 / 3), width=width)
    items, rng = items_of(plan), np.random.default_rng(1)
    folds = make_folds({"scheme": "runs"}, items)
    measured = recorded(plan)["response"].to_numpy()
    penalties = ridge.Penalties(np.logspace(-3, 5, 17))
    with FlopCounterMode(display=False) as counter:
        columns = rng.standard_normal((len(items), width))
        stimulus = rotations.stimulus_of([columns], 240, "cpu")
        list(ridge.fit_layer(stimulus, lambda: iter([(slice(5000), measured)]), folds, penalties))
    solved = costs.encoding.solution(costs.encoding.problem(plan, "d", "story", "net", "00", "01"))
    # Decompositions are no products.
    counted = counter.get_total_flops() / (solved.decomposing + solved.predicting)
    assert 0.75 < counted < 1.0


def tensor(values: np.ndarray, device: str, dtype: str = "float64") -> torch.Tensor:
    return torch.as_tensor(values).to(getattr(torch, dtype))


def test_a_fit_on_disk_is_as_large_as_was_reckoned(tmp_path) -> None:
    plan = plan_of(story(tr=1 / 3), width=10)
    written = fit_once(plan, 10, 3, tmp_path).stat().st_size / MIB
    cost = costs.fit_encoding(plan, "d", "story", "net", "00-02", "01")
    assert cost.disk_mb == pytest.approx(written, rel=0.1)


def test_a_fit_of_all_subjects_has_the_targets_of_each_and_of_their_mean() -> None:
    plan = plan_of(story(subjects=["01", "02", "03"], voxelwise=False))
    assert costs.encoding.problem(plan, "d", "story", "net", "00", "all").targets == 4 * 400


def test_delays_multiply_the_columns() -> None:
    plan = plan_of(story(), fit={"response": {"delays": [2, 4, 6, 8]}})
    assert costs.encoding.problem(plan, "d", "story", "net", "00", "01").columns == 4 * 96


@pytest.mark.parametrize("voxels", [600, 4000], ids=["batch", "draws"])
def test_scores_allocate_what_was_reckoned(voxels) -> None:
    """The arrays of one batch of resamples are the most, or the draws of many targets."""
    settings = {"n_permutations": 50, "n_resamples": 500}
    plan = plan_of(story(voxels=voxels), fit=settings, n_layers=2)
    rng, stacked = np.random.default_rng(0), recorded(plan)
    by_fold = ("layer", "fold", "target")

    def read() -> Any:
        n, t = stacked["response"].shape
        numbers = {name: (by_fold, rng.random((3, 5, t))) for name in ("r_test", "r_inner")}
        predicted = rng.random((3, n, t), np.float32)
        return stacked.assign(
            **numbers,
            alpha_index=(by_fold, np.ones((3, 5, t), np.int16)),
            prediction=(("layer", "sample", "target"), predicted),
            test_fold=("sample", np.repeat(np.arange(5), n // 5)),
        ).assign_coords(
            layer=[0, 1, 2],
            item=stacked["item"],
            subject=("target", np.full(t, "01")),
        )

    ceiling = pd.DataFrame({"subject": "01", "target": stacked["target"], "ceiling": 0.5})
    spec = {name: name for name in ("dataset", "fit", "model", "checkpoint")}
    spec |= {**settings, "n_layers": 2, "layer_choice": "nested", "resample_block": 1, "seed": 0}

    fit = read().assign_attrs(alpha_low=-3.0, alpha_high=5.0, n_alphas=17)

    def work() -> None:
        scores.score_rois([fit], ceiling, spec)

    work()  # imports
    cost = costs.score_roi(plan, "d", "story", "net", "all")
    assert 0.6 < allocated_mb(work) / (cost.mem_mb - costs.machines.TABLES_MB) < 1.2


# --- weights --------------------------------------------------------------------------------------


def test_weights_are_of_the_size_that_is_published() -> None:
    """Files on the hub: pythia-1b in float16, gpt2 in float32."""
    plan = load_plan({"study": "demo"}, CONFIG)
    published = {"pythia-1b": 2_090_000_000, "gpt2": 548_000_000}
    for model, size in published.items():
        checkpoint = plan.model(model).final
        assert costs.weights_mb(plan, model, checkpoint) == pytest.approx(size / MIB, rel=0.1)


def test_fresh_weights_are_not_downloaded() -> None:
    plan = load_plan({"study": "demo"}, CONFIG)
    assert costs.cached_mb(plan, "pythia-12b", "untrained-seed1") < 10
    # The file is kept beside the copy that it was converted to.
    assert costs.cached_mb(plan, "pythia-12b", "step1") == pytest.approx(
        2 * costs.weights_mb(plan, "pythia-12b", "step1")
    )
    assert costs.cached_mb(plan, "suite-l", "step350") == 0

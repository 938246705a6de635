"""The facts in config/models.yaml, against published tables and the architectures' closed forms."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = yaml.safe_load((ROOT / "config" / "models.yaml").read_text("utf-8"))
ENTRIES = {
    name: {"family": family, **entry}
    for family, content in FAMILIES.items()
    for name, entry in content["models"].items()
}


def of_families(*families: str) -> list[str]:
    return [name for name, entry in ENTRIES.items() if entry["family"] in families]


def blocks(entry: dict) -> int:
    """Parameters of the blocks and the final norm of a GPT-2 or GPT-NeoX model.

    Attention 4d² + 4d, feed-forward 8d² + 5d, two layer norms 4d; the final norm 2d.
    """
    d = entry["width"]
    return entry["n_layers"] * (12 * d**2 + 13 * d) + 2 * d


@pytest.mark.parametrize("name", of_families("pythia", "pythia-deduped"))
def test_pythia_has_as_many_parameters_as_gpt_neox_with_untied_embeddings(name: str) -> None:
    entry = ENTRIES[name]
    vocabulary = {4096: 50432, 5120: 50688}.get(entry["width"], 50304)  # padded for the big ones
    assert entry["n_params"] == 2 * vocabulary * entry["width"] + blocks(entry)


@pytest.mark.parametrize("name", of_families("gpt2"))
def test_gpt2_has_as_many_parameters_as_its_architecture(name: str) -> None:
    entry = ENTRIES[name]
    assert entry["n_params"] == (50257 + 1024) * entry["width"] + blocks(entry)


@pytest.mark.parametrize("family", ["pythia", "pythia-deduped"])
def test_pythia_has_the_154_published_steps(family: str) -> None:
    published = [0, *(2**i for i in range(10)), *range(1000, 144000, 1000)]
    assert len(published) == 154
    assert FAMILIES[family]["steps"] == published


def test_pythia_saw_the_published_number_of_tokens() -> None:
    # "We train all models for 299,892,736,000 tokens" (Biderman et al. 2023).
    pythia = FAMILIES["pythia"]
    assert pythia["steps"][-1] * pythia["tokens_per_step"] == 299_892_736_000


def test_68_intermediate_checkpoints_of_pythia_2_8b_are_left() -> None:
    # github.com/EleutherAI/pythia issue 205: 76 + 10 branches of 154 hold two files, one of these
    # branches is the last step's.
    bad = set(ENTRIES["pythia-2.8b"]["bad_checkpoints"])
    left = [step for step in FAMILIES["pythia"]["steps"] if f"step{step}" not in bad]
    assert len(bad) == 76 + 10 - 1
    assert len(left) == 68 + 1
    assert min(left) == 66000


def test_a_bad_checkpoint_is_one_that_was_published() -> None:
    steps = {f"step{step}" for step in FAMILIES["pythia"]["steps"]}
    for entry in ENTRIES.values():
        assert set(entry.get("bad_checkpoints", ())) <= steps


def test_the_28_models_of_bonnasse_gahot_and_pallier_have_their_constants() -> None:
    theirs = [entry for entry in ENTRIES.values() if "perplexity" in entry]
    assert len(theirs) == 28
    assert all({"n_params", "n_layers", "width", "benchmark"} <= entry.keys() for entry in theirs)

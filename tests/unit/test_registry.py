from pathlib import Path

import pytest

from lmcortex import registry
from lmcortex.config import LogSpaced
from lmcortex.errors import InputError

CONFIG = Path(__file__).parents[2] / "config"
# The 18 steps of Skean et al.'s notebook and the last one (Liu et al., arXiv 2602.07539).
DOUBLING = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
DOUBLING += [1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 143000]


@pytest.fixture(scope="module")
def models() -> dict[str, registry.Model]:
    return registry.load_models(CONFIG)


def test_pythia_has_154_checkpoints_of_every_size(models: dict[str, registry.Model]) -> None:
    sizes = ["14m", "31m", "70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b"]
    assert {len(models[f"pythia-{size}"].steps) for size in sizes} == {154}


def test_19_log_spaced_pythia_steps_are_the_published_ones(
    models: dict[str, registry.Model],
) -> None:
    names = models["pythia-410m"].checkpoints(LogSpaced(log_spaced=19), "here")
    assert names == [f"step{step}" for step in DOUBLING]


def test_fewer_log_spaced_steps_keep_the_first_and_the_last(
    models: dict[str, registry.Model],
) -> None:
    names = models["pythia-410m"].checkpoints(LogSpaced(log_spaced=4), "here")
    assert (names[0], names[-1], len(set(names))) == ("step1", "step143000", 4)


@pytest.mark.parametrize("name", ["final", "main", "step143000"])
def test_the_last_checkpoint_has_one_name(models: dict[str, registry.Model], name: str) -> None:
    assert models["pythia-70m"].checkpoints([name], "here") == ["step143000"]


def test_a_model_without_steps_ends_at_main(models: dict[str, registry.Model]) -> None:
    assert models["gpt2"].checkpoints("final", "here") == ["main"]


def test_an_unknown_step_is_refused_with_the_nearest(models: dict[str, registry.Model]) -> None:
    with pytest.raises(InputError, match=r"pythia-70m has no checkpoint `step513`.*step512"):
        models["pythia-70m"].checkpoints(["step513"], "here")


def test_a_checkpoint_with_wrong_weights_is_refused(models: dict[str, registry.Model]) -> None:
    with pytest.raises(InputError, match="pythia-12b step50000 is known to hold wrong weights"):
        models["pythia-12b"].checkpoints(["step50000"], "here")


def test_the_28_models_of_the_lateralization_paper_are_there(
    models: dict[str, registry.Model],
) -> None:
    published = [model for model in models.values() if model.perplexity is not None]
    assert len(published) == 28
    assert len({model.family for model in published}) == 8
    sizes = sorted(model.n_params or 0 for model in published)
    assert (sizes[0], sizes[-1]) == (124439808, 14167290880)  # 124M to 14.2B


def test_a_suite_model_knows_its_size_without_being_trained(
    models: dict[str, registry.Model],
) -> None:
    assert 3_000_000 < (models["books-l"].n_params or 0) < 5_000_000
    assert models["books-l"].tokens_per_step == 16 * 96


def test_a_pinned_revision_is_the_one_that_is_fetched() -> None:
    pinned = registry.Model(
        name="mine", family="mine", repo="a/b", n_layers=2, width=8, revision="v1.0"
    )
    assert pinned.revision_of("main") == "v1.0"


def test_fresh_weights_of_a_model_with_steps_take_their_configuration_from_main(
    models: dict[str, registry.Model],
) -> None:
    assert models["pythia-14m"].revision_of("step512") == "step512"
    assert models["pythia-14m"].revision_of("untrained-seed1") == "main"


def test_steps_that_all_name_the_same_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"need \{step\}"):
        registry.Model(name="mine", family="mine", folder="here", n_layers=2, width=8, steps=(1, 2))


def test_every_model_name_may_be_a_wildcard(models: dict[str, registry.Model]) -> None:
    import re

    from lmcortex import paths

    assert all(re.fullmatch(paths.CONSTRAINTS["model"], name) for name in models)
    assert not any(re.fullmatch(registry.PSEUDO_NAME, name) for name in models)

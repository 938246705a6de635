"""Integration windows: closed forms, scipy, brute force, and planted memories found again."""

import runpy
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit
from test_features import SIZES, make
from transformers import AutoConfig

from lmcortex.errors import InputError
from lmcortex.models.load import initialise
from lmcortex.windows import fits, measure
from lmcortex.windows.differences import Sequences, accumulate, keeps_keys
from lmcortex.windows.tokens import Special, special_tokens, word_tokens
from lmcortex.windows.yoking import yoking_index, yoking_vector

ROOT = Path(__file__).resolve().parents[2]
# One forward pass for each swap, and scipy for each unit: also what the benchmark compares with.
benchmark = runpy.run_path(str(ROOT / "benchmarks" / "windows.py"))
LAGS = np.arange(21.0)
EXPONENTIAL, POWER = np.exp(-0.3 * np.arange(60)), (np.arange(60) + 1) ** -0.5
CAUSAL = ["gpt2", "gpt_neox", "opt", "llama", "qwen2", "gemma", "mistral", "stablelm"]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def mixed(exponent: float, rate: float, weight: float) -> np.ndarray:
    return weight * (LAGS + 1) ** -exponent + (1 - weight) * np.exp(-rate * LAGS)


def tensor(*windows: np.ndarray, n_words: int = 40) -> np.ndarray:
    """Return differences (words x lags x units) of units with these windows."""
    scales = 10.0 ** np.arange(len(windows))
    return np.broadcast_to(np.stack(windows, -1) * scales, (n_words, 21, len(windows)))


def fitted(*windows: np.ndarray) -> fits.Fits:
    return fits.fit_windows(fits.integration_windows(tensor(*windows)))


def kind(*windows: np.ndarray) -> list[str]:
    stacked = np.stack(windows)
    errors = fits.squared_errors(fits.fit_windows(stacked), stacked)
    named = fits.simplest(errors).tolist()
    assert fits.lowest_of(fits.bic(errors, 21)).tolist() == named
    return named


# --- windows and fits -----------------------------------------------------------------------------

PLANTED = [(1.02, 2.0, 0.108), (0.51, 1.0, 0.274), (0.3, 0.5, 0.6), (2.0, 0.1, 0.5)]


def test_mixtures_are_recovered_from_their_difference_tensor() -> None:
    found = fitted(*(mixed(*planted) for planted in PLANTED)).mixture
    np.testing.assert_allclose(found, PLANTED, atol=1e-3)


@pytest.mark.parametrize("rate", [0.05, 0.3, 2.0])
def test_an_exponential_is_recovered_and_named(rate: float) -> None:
    window = np.exp(-rate * LAGS)
    assert fitted(window).rate[0] == pytest.approx(rate, abs=1e-3)
    assert kind(window) == ["exponential"]


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.5])
def test_a_power_law_is_recovered_and_named(exponent: float) -> None:
    window = (LAGS + 1) ** -exponent
    assert fitted(window).exponent[0] == pytest.approx(exponent, abs=1e-3)
    assert kind(window) == ["power"]


def test_a_mixture_is_named_so() -> None:
    assert kind(mixed(0.51, 1.0, 0.274)) == ["mixture"]


def test_a_window_of_the_word_alone_is_a_delta() -> None:
    window = (LAGS == 0).astype(float)
    assert kind(window) == ["delta"]
    assert fits.window_lengths(window[None])[0] == 1


def test_a_flat_tail_is_named_and_fitted_by_a_power_law_that_does_not_fall() -> None:
    window = np.where(LAGS == 0, 1, 0.05)
    assert kind(window) == ["flat"]
    exponent, rate, weight = fitted(window).mixture[0]
    assert (exponent, weight) == pytest.approx((0, 0.05), abs=1e-3)
    assert rate == pytest.approx(10, abs=0.1)


def test_a_unit_that_no_swap_moves_has_no_window() -> None:
    still = np.zeros(21)
    found = fits.fit_windows(fits.integration_windows(tensor(still, mixed(1, 1, 0.5))))
    assert np.isnan(found.rate).tolist() == [True, False]
    assert kind(*fits.integration_windows(tensor(still))) == ["undefined"]


def test_a_window_is_the_median_over_words_that_leaves_the_first_two_swaps_out() -> None:
    differences = np.ones((40, 21, 1))
    differences[:2] = 1e6
    differences[10, 3] = 1e6  # one of 18 measured words
    assert (fits.integration_windows(differences) == 1).all()


def test_fits_are_no_worse_than_scipys_and_the_same_where_it_finds_the_same_minimum(rng) -> None:
    planted = np.column_stack(
        [rng.uniform(0.2, 2, 40), rng.uniform(0.3, 3, 40), rng.uniform(0.05, 0.6, 40)]
    )
    windows = np.stack([mixed(*row) for row in planted]) + rng.normal(0, 0.01, (40, 21))
    windows[:, 0] = 1
    ours = fits.fit_windows(windows).mixture
    theirs = np.array([benchmark["scipy_mixture"](window) for window in windows])
    error = ((fits.mixture(ours, LAGS) - windows) ** 2).sum(axis=1)
    other = ((fits.mixture(theirs, LAGS) - windows) ** 2).sum(axis=1)
    assert (error <= other + 1e-10).all()
    same = error >= other - 1e-8
    assert same.sum() > 20
    np.testing.assert_allclose(ours[same], theirs[same], atol=2e-3)


def test_one_parameter_fits_equal_scipys(rng) -> None:
    windows = np.clip(np.exp(-0.4 * LAGS) + rng.normal(0, 0.02, (20, 21)), 0, None)
    windows[:, 0] = 1
    found = fits.fit_windows(windows)
    for window, rate, exponent in zip(windows, found.rate, found.exponent, strict=True):
        other, _ = curve_fit(lambda lag, b: np.exp(-b * lag), LAGS, window, bounds=(0, 10))
        assert rate == pytest.approx(other[0], abs=1e-5)
        other, _ = curve_fit(lambda lag, a: (lag + 1) ** -a, LAGS, window, bounds=(0, 10))
        assert exponent == pytest.approx(other[0], abs=1e-5)


def test_bic_counts_lags_after_the_first_and_parameters() -> None:
    errors = {name: np.array([0.01]) for name in fits.FORMS}
    found = fits.bic(errors, 21)
    assert found["delta"][0] == pytest.approx(20 * np.log(0.01))
    assert found["mixture"][0] - found["power"][0] == pytest.approx(2 * np.log(20))


# --- yoking ---------------------------------------------------------------------------------------


def series(window: np.ndarray, gain: float, unit_words: int = 12) -> np.ndarray:
    """Return the differences (words x lags x 1) of five sentences, less at each border crossed."""
    n = 5 * unit_words
    differences = np.zeros((n, n, 1))
    for word, lag in product(range(n), range(n)):
        if word + lag < n:
            crossed = (word + lag) // unit_words - word // unit_words
            differences[word, lag] = window[lag] * gain**crossed
    return differences


@pytest.mark.parametrize(
    ("window", "gain", "expected"),
    [
        (EXPONENTIAL, 1, 0.0),
        (EXPONENTIAL, 0.5, 0.1235),
        (EXPONENTIAL, 0, 0.2469),
        (POWER, 1, 0.0),
        (POWER, 0.5, 0.1965),
        (POWER, 0, 0.393),
    ],
)
def test_yoking_has_the_reference_values(window: np.ndarray, gain: float, expected: float) -> None:
    found = yoking_index(yoking_vector(series(window, gain), 12), 12)
    assert found[0] == pytest.approx(expected, abs=1e-3)


def test_within_a_sentence_each_word_reaches_one_less_before_the_reset() -> None:
    vector = yoking_vector(series(EXPONENTIAL, 0), 12)[:, 0]
    for place in range(1, 12):
        lost = EXPONENTIAL[12 - place] if 12 - place <= 10 else 0
        assert vector[place] == pytest.approx(-lost / 11)


def test_a_uniform_average_of_all_before_has_the_reference_value() -> None:
    differences = np.zeros((60, 60, 1))
    for word, lag in product(range(60), range(60)):
        differences[word, lag] = 1 / (word + lag + 1) if word + lag < 60 else 0
    assert yoking_index(yoking_vector(differences, 12), 12)[0] == pytest.approx(-0.044, abs=1e-3)


@pytest.mark.parametrize("unit_words", [4, 8, 16, 24, 36])
def test_other_lengths_of_sentences_have_their_closed_form(unit_words: int) -> None:
    rate = 0.2
    window = np.exp(-rate * np.arange(5 * unit_words))
    found = yoking_index(yoking_vector(series(window, 0, unit_words), unit_words), unit_words)
    # What the first word reaches beyond itself and the last one before it does not.
    assert found[0] == pytest.approx(window[1 : unit_words - 1].sum() / (unit_words - 1))


# --- differences ----------------------------------------------------------------------------------


def network(kind: str, **settings: Any) -> Any:
    """Return a tiny network with random weights."""
    own = {"mamba": {"state_size": 4}, "gemma": {"head_dim": 4}}.get(kind, {})
    if kind == "opt":
        own = {"ffn_dim": 24, "word_embed_proj_dim": 16}
    sizes = SIZES | {"num_key_value_heads": 2} | own | settings
    config = AutoConfig.for_model(kind, vocab_size=300, use_cache=False, pad_token_id=0, **sizes)
    return initialise(config, 1, torch.float32).eval()


def sequences_for(kind: str, n: int = 3, n_words: int = 6, seed: int = 0) -> Sequences:
    """Return sequences of words of one to three tokens, and swaps of as many."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 4, size=(n, n_words))
    draw: Any = lambda length: rng.integers(5, 190, size=length).tolist()  # noqa: E731
    words = [[draw(length) for length in row] for row in lengths]
    swaps = [[draw(length) for length in row] for row in lengths]
    return Sequences(words, swaps, Special([2], [3]) if kind == "bert" else Special([], []))


def measured(kind: str, **settings: Any) -> dict[str, np.ndarray]:
    model = network(kind)
    chosen = {"n_lags": 4, "layers": range(4), "units": np.arange(16), "causal": kind != "bert"}
    return accumulate(sequences_for(kind), model, **(chosen | settings))


@pytest.mark.parametrize("kind", CAUSAL)
def test_suffixes_on_a_kept_prefix_equal_whole_sequences(kind: str) -> None:
    whole, suffixes = measured(kind, reuse=False)["past"], measured(kind, reuse=True)["past"]
    assert np.abs(whole).max() > 1e-3
    np.testing.assert_allclose(suffixes, whole, atol=2e-6 * max(1, np.abs(whole).max()))


@pytest.mark.parametrize("kind", CAUSAL)
def test_transformers_that_read_forward_keep_their_prefix(kind: str) -> None:
    assert keeps_keys(network(kind))


def test_a_recurrent_model_is_read_whole() -> None:
    assert not keeps_keys(network("mamba"))


@pytest.mark.parametrize("kind", ["gpt_neox", "bert"])
def test_differences_equal_one_forward_pass_for_each_swap(kind: str) -> None:
    model = network(kind)
    expected = benchmark["one_by_one"](sequences_for(kind), model)  # halves x layers x k x t x u
    for side, found in measured(kind).items():
        for word, lag in product(range(6), range(4)):
            swap, at = (word, word + lag) if side == "past" else (5 - word, 5 - word - lag)
            wanted = expected[:, :, swap, at] if 0 <= at < 6 else np.zeros((2, 4, 16))
            np.testing.assert_allclose(found[:, :, word, lag], wanted, atol=3e-6)


@pytest.mark.parametrize("kind", CAUSAL)
def test_a_causal_model_changes_nothing_before_the_swap(kind: str) -> None:
    found = measured(kind, causal=False)
    assert np.abs(found["future"][:, :, :, 1:]).max() < 1e-5
    assert np.abs(found["past"][:, 1:, :5, 1]).max() > 1e-3


def test_a_masked_model_changes_what_comes_before_the_swap() -> None:
    assert measured("bert")["future"][:, 1:, :5, 1].min() > 0


def test_the_same_job_gives_the_same_bits() -> None:
    assert (measured("gpt_neox")["past"] == measured("gpt_neox")["past"]).all()


def test_chosen_layers_and_units_are_those_of_all() -> None:
    every = measured("gpt_neox")["past"]
    some = measured("gpt_neox", layers=[1, 3], units=np.array([2, 11]))["past"]
    np.testing.assert_allclose(some, every[:, [1, 3]][..., [2, 11]], atol=1e-6)


def test_states_that_are_not_finite_are_refused() -> None:
    model = network("gpt_neox")
    model.embed_in.weight.data[:] = torch.inf
    with pytest.raises(InputError, match="not finite"):
        accumulate(
            sequences_for("gpt_neox"), model, n_lags=2, layers=[0], units=np.arange(2), causal=True
        )


def test_a_words_tokens_are_those_it_has_behind_a_space() -> None:
    _, tokenizer = make("gpt_neox")
    text = "the book had no pictures"
    tokens = [token for word in word_tokens(text.split()[1:], tokenizer) for token in word]
    whole: Any = tokenizer(text)["input_ids"]
    assert tokens == whole[len(tokenizer("the")["input_ids"]) :]


def test_special_tokens_stand_around_and_are_no_words() -> None:
    assert special_tokens(make("bert")[1]) == ([2], [3])
    assert special_tokens(make("gpt_neox")[1]) == ([], [])


# --- planted memories -----------------------------------------------------------------------------

N_TOKENS = 300


class Integrator(torch.nn.Module):
    """A "model" of one block that sums what it has read, each word less the longer ago it was.

    Parameters
    ----------
    memory : what is left of a word after as many others.
    gain : what a border between sentences of 12 words leaves of what stands before it.
    both_ways : whether it reads what comes after, too, with half the memory's rate.
    """

    def __init__(self, memory: np.ndarray, gain: float = 1, both_ways: bool = False) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            num_hidden_layers=1, hidden_size=16, max_position_embeddings=None
        )
        self.device, self.dtype = torch.device("cpu"), torch.float32
        generator = torch.Generator().manual_seed(1)
        self.embeddings = torch.randn(N_TOKENS, 16, generator=generator)
        place = np.arange(len(memory))
        ago = place[:, None] - place
        crossed = np.abs(place[:, None] // 12 - place // 12)
        kernel = memory[np.abs(ago)] * np.where(ago < 0, both_ways, True) * float(gain) ** crossed
        if both_ways:
            kernel = np.where(ago < 0, kernel**2, kernel)
        self.layer = torch.nn.ModuleList([Memory(torch.from_numpy(kernel).float())])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.layer[0](self.embeddings[tokens])


class Memory(torch.nn.Module):
    def __init__(self, kernel: torch.Tensor) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        n = states.shape[1]
        return self.kernel[:n, :n] @ states


def random_series(n: int, n_words: int) -> Any:
    """Return a table of swaps of random words: a text of single-token words."""
    import pandas as pd

    rng = np.random.default_rng(5)
    word = rng.integers(N_TOKENS, size=n * n_words)
    other = (word + rng.integers(1, N_TOKENS, size=n * n_words)) % N_TOKENS
    return pd.DataFrame(
        {
            "unit_words": 12 if n_words == 60 else 0,
            "sequence": np.repeat(np.arange(n), n_words),
            "position": np.tile(np.arange(n_words), n),
            "word": [name_of(number) for number in word],
            "swap": [name_of(number) for number in other],
        }
    )


def name_of(number: int) -> str:
    letters = "abcdefghijklmnopqrst"
    return letters[number // 20] + letters[number % 20]


@pytest.fixture(scope="module")
def names() -> Any:
    """A tokenizer of one token for each of the words, by number."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {name_of(number): number for number in range(N_TOKENS)} | {"the": N_TOKENS}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="the"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def found_in(model: Any, tokenizer: Any, table: Any, task: str = "causal") -> Any:
    spec = {"lags": 20, "units": None, "task": task}
    return measure.measure_model(table, model, tokenizer, spec)


@pytest.mark.parametrize(
    ("memory", "kind", "parameter", "expected"),
    [(EXPONENTIAL, "exponential", "rate", 0.3), (POWER, "power", "exponent", 0.5)],
)
def test_a_planted_memory_is_found_with_its_kind_and_rate(
    names, memory, kind, parameter, expected
) -> None:
    windows, _, _ = found_in(Integrator(memory), names, random_series(400, 40))
    rows = windows[windows["layer"] == 1]
    assert rows[parameter].median() == pytest.approx(expected, rel=0.05)
    assert rows["kind"].mode()[0] == kind
    errors = rows[["mse_exponential", "mse_power"]].median()
    assert errors.idxmin() == f"mse_{kind}"


@pytest.mark.parametrize(
    ("memory", "gain", "expected"),
    [(EXPONENTIAL, 1, 0.0), (EXPONENTIAL, 0, 0.2469), (POWER, 1, 0.0), (POWER, 0.5, 0.1965)],
)
def test_a_planted_reset_is_found_as_yoking(names, memory, gain, expected) -> None:
    _, yoking, _ = found_in(Integrator(memory, gain), names, random_series(200, 60))
    found = yoking.loc[yoking["layer"] == 1, "index"].median()
    assert found == pytest.approx(expected, abs=0.03)


def test_the_states_before_any_block_remember_nothing(names) -> None:
    windows, _, _ = found_in(Integrator(POWER), names, random_series(10, 40))
    assert set(windows.loc[windows["layer"] == 0, "kind"]) == {"delta"}


def test_past_and_future_are_kept_apart(names) -> None:
    model = Integrator(EXPONENTIAL, both_ways=True)
    windows, _, _ = found_in(model, names, random_series(400, 40), task="masked")
    rates = windows[windows["layer"] == 1].groupby("side")["rate"].median()
    assert rates["past"] == pytest.approx(0.3, rel=0.05)
    assert rates["future"] == pytest.approx(0.6, rel=0.05)


def test_an_untrained_network_is_flat_after_the_word_itself_and_not_yoked(names) -> None:
    model = network("gpt_neox", hidden_size=32, max_position_embeddings=128)
    windows, _, _ = found_in(model, names, random_series(60, 40))
    deep = windows[windows["layer"] > 0]
    assert (deep["kind"] == "flat").mean() > 0.8
    tail = np.stack(deep["window"].to_list()).mean(axis=0)[1:]
    slope = np.polyfit(LAGS[1:], np.log(tail), 1)[0]
    assert abs(slope) < 0.01
    _, yoking, _ = found_in(model, names, random_series(40, 60))
    assert yoking.groupby("layer")["index"].median().abs().max() < 0.02


def test_layers_read_in_blocks_are_those_read_at_once(names, monkeypatch) -> None:
    model = network("gpt_neox")
    at_once = found_in(model, names, random_series(4, 40))[0]
    monkeypatch.setattr(measure, "BLOCK_BYTES", 1)
    in_blocks = found_in(model, names, random_series(4, 40))[0]
    assert at_once.equals(in_blocks)


def test_fewer_units_are_evenly_spaced(names) -> None:
    model = network("gpt_neox")
    spec = {"lags": 20, "units": 4, "task": "causal"}
    windows, _, _ = measure.measure_model(random_series(4, 40), model, names, spec)
    assert sorted(set(windows["unit"])) == [0, 5, 10, 15]


def test_a_sequence_longer_than_the_context_is_refused(names) -> None:
    model = network("gpt_neox", max_position_embeddings=39)
    with pytest.raises(InputError, match=r"40 words have up to 40 tokens.* context is 39"):
        found_in(model, names, random_series(4, 40))

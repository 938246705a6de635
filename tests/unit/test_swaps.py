"""Sequences cut from a text, and the words that take the places of others."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers import models as tokenizer_models
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedTokenizerFast

from lmcortex.errors import InputError
from lmcortex.models.fetch import fetch_checkpoint
from lmcortex.models.load import initialise
from lmcortex.windows.swaps import N_BINS, N_PROBABLE, Band, calibrate, choose_swaps, masked_texts
from lmcortex.windows.text import read_words

WORDS = [a + b + c for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]  # 150, none an English name
SPEC = {
    "passages": {"words": 10, "sequences": 6, "swap": "random"},
    "yoking": {"lengths": [4], "sentences": 5, "sequences": 8, "swap": "embedding"},
    "distance": None,
    "seed": 0,
}


def words_of(text: str, folder: Path) -> pd.DataFrame:
    (folder / "text.txt").write_text(text)
    return read_words([folder / "text.txt"])


# --- text -----------------------------------------------------------------------------------------


def test_words_are_plain_and_know_their_sentence(tmp_path) -> None:
    words = words_of('Mr. Fox ran-away! "Did he?" asked Ann.\n\nCHAPTER TWO\n\nYes', tmp_path)
    assert words["word"].tolist() == (
        ["mr", "fox", "ran", "away", "did", "he", "asked", "ann", "chapter", "two", "yes"]
    )
    assert words["sentence"].tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_a_sentence_keeps_the_place_of_what_is_no_word(tmp_path) -> None:
    assert words_of("It cost 300 pounds , say .", tmp_path)["word"].tolist() == (
        ["it", "cost", "", "pounds", "say"]
    )


def test_a_table_of_words_keeps_parts_of_speech_and_drops_names(tmp_path) -> None:
    rows = pd.DataFrame(
        {
            "word": ["Paul", "ran", ".", "Dogs", "bark"],
            "sentence": [0, 0, 0, 0, 1],
            "document": [0, 0, 0, 1, 1],
            "pos": ["NP", "VBD", ".", "NNS", "VB"],
        }
    )
    rows.to_csv(tmp_path / "words.csv", index=False)
    words = read_words([tmp_path / "words.csv"])
    assert words["word"].tolist() == ["", "ran", "dogs", "bark"]
    assert words["sentence"].tolist() == [1, 1, 2, 3]  # they begin anew in the second document
    assert words["pos"].tolist() == ["NP", "VBD", "NNS", "VB"]


def test_a_table_without_words_is_refused(tmp_path) -> None:
    pd.DataFrame({"token": ["a"]}).to_csv(tmp_path / "words.csv", index=False)
    with pytest.raises(InputError, match="expected a column `word`, found token"):
        read_words([tmp_path / "words.csv"])


# --- sequences and swaps --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A text of made-up words, sentences of 3 to 6 words, and two tiny models that know them."""
    folder = tmp_path_factory.mktemp("swaps")
    rng = np.random.default_rng(0)
    drawn = [rng.choice(WORDS, rng.integers(3, 7)) for _ in range(400)]
    (folder / "text.txt").write_text(" ".join(" ".join(each) + "." for each in drawn))
    rows = [
        {"word": word, "sentence": number, "pos": word[0] if word[0] != "k" else "kbdfg"[place % 5]}
        for number, sentence in enumerate(drawn)
        for place, word in enumerate(sentence)
    ]
    pd.DataFrame(rows).to_csv(folder / "words.csv", index=False)
    special = ["the", "[MASK]", "[UNK]"]
    # Words that end in t are two tokens, as a longer word is to most tokenizers.
    known = [*special, *(word for word in WORDS if word[-1] != "t"), *"bdfgkaeiout"]
    vocabulary = {token: number for number, token in enumerate(known)}
    tokenizer = Tokenizer(tokenizer_models.WordPiece(
        {**vocabulary, **{f"##{a}t": len(known) + n for n, a in enumerate("aeiou")}},
        unk_token="[UNK]",
    ))  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, mask_token="[MASK]", unk_token="[UNK]", model_max_length=64
    )
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "vocab_size": len(known) + 5, "max_position_embeddings": 64}
    initialise(AutoConfig.for_model("gpt_neox", **sizes), 1, torch.float32).save_pretrained(
        folder / "causal"
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model("bert", **sizes, initializer_range=0.5)
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder / "masked")
    for name in ("causal", "masked"):
        fast.save_pretrained(folder / name)
    return folder


def description(folder: Path, name: str) -> dict[str, Any]:
    return fetch_checkpoint(name, "main", {"source": "folder", "folder": str(folder / name)})


def chosen(folder: Path, swap: str = "random", file: str = "text.txt", **spec: Any) -> pd.DataFrame:
    """Return the swaps of passages by a policy; and of series of sentences, by distance."""
    settings = {**SPEC, "passages": {**SPEC["passages"], "swap": swap}, **spec}
    masked = description(folder, "masked") if swap == "masked" else None
    return choose_swaps(
        [str(folder / file)], description(folder, "causal"), masked, settings, "cpu"
    )


@pytest.mark.parametrize("swap", ["random", "embedding", "masked", "pos"])
def test_a_word_is_swapped_for_another_of_as_many_tokens(folder, swap) -> None:
    table = chosen(folder, swap, "words.csv")
    assert (table["word"] != table["swap"]).all()
    assert (table["word"].str.endswith("t") == table["swap"].str.endswith("t")).all()
    assert set(table["swap"]) <= set(WORDS)


def test_sequences_have_the_length_and_number_that_is_asked_for(folder) -> None:
    table = chosen(folder)
    found = table.groupby("unit_words")["sequence"].agg(["nunique", "size"])
    assert found.loc[0].tolist() == [6, 60] and found.loc[4].tolist() == [8, 160]


def test_passages_stand_in_the_text(folder) -> None:
    text = (folder / "text.txt").read_text().replace(".", "")
    table = chosen(folder)
    for _, rows in table[table["unit_words"] == 0].groupby("sequence"):
        assert " ".join(rows["word"]) in text


def test_series_are_whole_sentences_of_single_tokens(folder) -> None:
    sentences = set((folder / "text.txt").read_text().removesuffix(".").split(". "))
    table = chosen(folder)
    series = table[table["unit_words"] == 4]
    for _, rows in series.groupby(["sequence", "sentence"]):
        assert " ".join(rows["word"]) in sentences
    assert not series["word"].str.endswith("t").any()


def test_the_same_settings_give_the_same_swaps_and_another_seed_others(folder) -> None:
    assert chosen(folder).equals(chosen(folder))
    assert not chosen(folder)["swap"].equals(chosen(folder, seed=1)["swap"])


def test_a_part_of_speech_is_kept_where_a_word_of_it_is_left(folder) -> None:
    table = chosen(folder, "pos", "words.csv")
    rows = pd.read_csv(folder / "words.csv")
    tags = rows.groupby("word")["pos"].agg(set).to_dict()
    kept = table[(table["unit_words"] == 0) & table["matched"]]
    assert len(kept) > 50
    assert all(
        tags[word] & tags[swap] for word, swap in zip(kept["word"], kept["swap"], strict=True)
    )


def test_parts_of_speech_have_to_be_in_the_text(folder) -> None:
    with pytest.raises(InputError, match="a column `pos`"):
        chosen(folder, "pos")


def test_embedding_swaps_lie_in_the_asked_band(folder) -> None:
    table = chosen(folder, "embedding")
    from lmcortex import models

    model = models.load_model(description(folder, "causal"), device="cpu")
    weights: Any = model.get_input_embeddings()
    tokenizer = models.load_tokenizer(description(folder, "causal"))
    for _, row in table[table["unit_words"] == 4].head(20).iterrows():
        one, other = (
            weights.weight[tokenizer(row[name])["input_ids"][0]].detach()
            for name in ("word", "swap")
        )
        assert row["distance"] == pytest.approx(float((one - other).abs().mean()), rel=1e-5)


def test_a_word_with_an_empty_bin_gets_a_random_swap_and_says_so(folder) -> None:
    table = chosen(folder, "embedding", distance={"middle": 5.0, "spacing": 0.1})
    assert not table["matched"].any()


def test_bins_are_as_likely_and_as_wide_as_published() -> None:
    band = Band(0.125, 0.001)
    distances = np.array([0.1219, 0.1221, 0.1249, 0.1251, 0.1279, 0.1281])
    assert band.bins(distances).tolist() == [-1, 0, 2, 3, 5, -1]


def test_a_calibrated_band_gives_half_of_the_words_their_candidates() -> None:
    rng = np.random.default_rng(0)
    sample = [rng.normal(0.1, 0.02, 300) for _ in range(50)]
    band = calibrate(sample)
    assert band.middle == pytest.approx(0.1, abs=0.002)
    fewest = [np.bincount(band.bins(each) + 1, minlength=N_BINS + 1)[1:].min() for each in sample]
    assert np.median(fewest) >= 20


def test_masked_swaps_are_among_the_likeliest_words(folder) -> None:
    table = chosen(folder, "masked")
    from lmcortex import models
    from lmcortex.models.masked import load_masked_model

    model = load_masked_model(description(folder, "masked"), "cpu")
    tokenizer = models.load_tokenizer(description(folder, "masked"))
    single = [word for word in WORDS if not word.endswith("t")]
    numbers = [tokenizer(word)["input_ids"][0] for word in single]
    rows = table[(table["unit_words"] == 0) & (table["sequence"] == 2)].reset_index(drop=True)
    for place in np.flatnonzero(~rows["word"].str.endswith("t"))[:5]:
        text = rows["word"].tolist()
        text[place] = tokenizer.mask_token
        tokens: Any = tokenizer(" ".join(text), return_tensors="pt")
        at = int((tokens["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0])
        scores = model(tokens["input_ids"]).logits[0, at, numbers].detach().numpy()
        order = [
            single[each] for each in np.argsort(-scores) if single[each] != rows["word"][place]
        ]
        assert rows["swap"][place] in order[:N_PROBABLE]


@pytest.mark.parametrize(
    ("place", "expected"), [(0, "?bcde"), (1, "a?cde"), (4, "cd?fg"), (7, "defg?")]
)
def test_a_masked_model_reads_what_it_takes_about_the_word(place, expected) -> None:
    words = dict(zip("abcdefgh", range(8), strict=True)) | {"the": 8, "?": 9}
    tokenizer = Tokenizer(tokenizer_models.WordLevel(words, unk_token="the"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="?")
    word, tokens, at = list(masked_texts([list("abcdefgh")], fast, 5))[place]
    assert word == "abcdefgh"[place] and tokens[at] == 9
    assert "".join(fast.convert_ids_to_tokens(tokens)) == expected


def test_a_model_without_a_head_is_no_masked_model(folder) -> None:
    from lmcortex.models.masked import load_masked_model

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AutoConfig.for_model("bert", vocab_size=50, intermediate_size=16, **sizes)
    initialise(config, 1, torch.float32).save_pretrained(folder / "encoder")
    for file in (folder / "masked").glob("token*"):
        (folder / "encoder" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="its guesses would be random"):
        load_masked_model(description(folder, "encoder"), "cpu")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"passages": {"words": 10, "sequences": 5000, "swap": "random"}}, "the text holds"),
        ({"yoking": {**SPEC["yoking"], "lengths": [9]}}, "0 sentences of 9 words"),
    ],
)
def test_more_than_the_text_holds_is_refused(folder, changes, problem) -> None:
    with pytest.raises(InputError, match=problem):
        choose_swaps(
            [str(folder / "text.txt")], description(folder, "causal"), None, {**SPEC, **changes}
        )

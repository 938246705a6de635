"""Sentences and stories become items and words."""

import json

import numpy as np
import pandas as pd
import pytest

from lmcortex import stimuli
from lmcortex.errors import InputError
from lmcortex.textgrid import read_textgrid

STORY = {"dataset": "toy", "kind": "story", "runs": ["1"], "samples": 5, "tr": 2.0, "start": 1.0}
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "TextTier"
        name = "events"
        xmin = 0
        xmax = 2.5
        points: size = 1
        points [1]:
            number = 1.25
            mark = "click"
    item [2]:
        class = "IntervalTier"
        name = "word"
        xmin = 0
        xmax = 2.5
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "sp"
        intervals [2]:
            xmin = 0.5
            xmax = 1
            text = "say "
        intervals [3]:
            xmin = 1
            xmax = 2
            text = "a ""word"" 7"
        intervals [4]:
            xmin = 2
            xmax = 2.5
            text = ""
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
2
"TextTier"
"events"
0
2.5
1
1.25
"click"
"IntervalTier"
"word"
0
2.5
4
0
0.5
"sp"
0.5
1
"say "
1
2
"a ""word"" 7"
2
2.5
""
"""


def passage(words: pd.DataFrame) -> str:
    return "".join(words["before"] + words["word"])


def write(path, text):
    path.write_text(text, "utf-8")
    return str(path)


# --- TextGrid -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [LONG, SHORT])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_both_text_formats_of_a_textgrid_give_the_same_words(tmp_path, content, encoding):
    path = tmp_path / "words.TextGrid"
    path.write_text(content, encoding)
    words = read_textgrid(path, "word", ["sp"])
    assert words["word"].tolist() == ["say", 'a "word" 7']
    assert words["onset"].tolist() == [0.5, 1.0]
    assert words["duration"].tolist() == [0.5, 1.0]


def test_a_textgrid_that_ends_early_is_refused(tmp_path):
    path = write(tmp_path / "words.TextGrid", LONG[:-60])
    with pytest.raises(InputError, match="ends early"):
        read_textgrid(path, "word")


def test_a_tier_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(InputError, match="no interval tier `words`; tiers: word"):
        read_textgrid(write(tmp_path / "words.TextGrid", LONG), "words")


def test_the_words_of_alice_are_all_read(data_dir):
    words = read_textgrid(data_dir / "alice/words.TextGrid", "word", ["sp"])
    assert len(words) == 2127
    assert words["word"].iloc[0] == "Alice" and words["word"].iloc[-1] == "cake"
    assert words["onset"].iloc[0] == pytest.approx(20.059, abs=1e-3)
    assert words["onset"].iloc[-1] + words["duration"].iloc[-1] == pytest.approx(743.335, abs=1e-3)


# --- sentences ------------------------------------------------------------------------------------


def test_the_words_of_a_sentence_spell_its_text(tmp_path):
    text = 'item,text\n007,"Oh  dear, ""null"" it is!"\nb,NA\n'
    found = stimuli.prepare_sentences(write(tmp_path / "stimuli.csv", text), {})
    assert found.items["item"].tolist() == ["007", "b"]
    for row in found.items.itertuples():
        assert passage(found.words[found.words["item"] == row.item]) == row.text
    assert found.words["word"].tolist() == ["Oh", "dear,", '"null"', "it", "is!", "NA"]


def test_sentences_are_numbered_within_their_run(tmp_path):
    text = "sentence_id\tsession\twords\na\t1\tOne.\nb\t2\tTwo.\nc\t1\tThree.\n"
    spec = {"columns": {"item": "sentence_id", "text": "words", "run": "session"}}
    items = stimuli.prepare_sentences(write(tmp_path / "stimuli.tsv", text), spec).items
    assert items["run"].tolist() == ["1", "2", "1"]
    assert items["time"].tolist() == [0, 0, 1]


def test_the_sentences_of_tuckute_are_all_read(data_dir):
    spec = {"columns": {"item": "item_id", "text": "sentence"}}
    found = stimuli.prepare_sentences(data_dir / "tuckute2024/bold_response_LH.csv", spec)
    assert len(found.items) == 1000
    assert found.words.groupby("item").size().median() == 6


# --- stories --------------------------------------------------------------------------------------


def test_items_are_the_samples_that_are_kept():
    items = stimuli.sample_items({**STORY, "trim": [1, 2]})
    assert items["item"].tolist() == ["run-1_tr-0001", "run-1_tr-0002"]
    assert items["time"].tolist() == [3.0, 5.0]


def test_runs_may_differ_in_length():
    items = stimuli.sample_items({**STORY, "runs": ["1", "2"], "samples": [3, 4]})
    assert items.groupby("run").size().to_dict() == {"1": 3, "2": 4}


def test_words_of_a_story_are_joined_by_single_spaces(tmp_path):
    text = 'onset\tduration\tword\n1\t.2\t"Oh\n1.5\t.2\tnull\n2\t0\tdear\n'
    found = stimuli.prepare_story([write(tmp_path / "words.tsv", text)], [], STORY)
    assert passage(found.words) == '"Oh null dear'
    assert found.words["onset"].tolist() == [1, 1.5, 2]


def test_a_word_without_onset_stays_in_the_text_and_is_counted(tmp_path):
    text = "onset\tduration\tword\n1\t.2\tOh\nn/a\tn/a\twell\n2\t.1\tdear\n"
    found = stimuli.prepare_story([write(tmp_path / "words.tsv", text)], [], STORY)
    assert passage(found.words) == "Oh well dear"
    assert np.isnan(found.words["onset"].iloc[1])
    counted = {fact["measure"]: fact["value"] for fact in found.quality}
    assert counted["words without onset"] == 1


def test_one_table_may_hold_the_words_of_several_runs(tmp_path):
    text = "onset,duration,word,run,sentence\n1,.2,One,1,1\n2,.2,two,1,1\n1,.2,Three,2,2\n"
    spec = {**STORY, "runs": ["1", "2"]}
    words = stimuli.prepare_story([write(tmp_path / "words.csv", text)], [], spec).words
    assert words["run"].tolist() == ["1", "1", "2"]
    assert words["before"].tolist() == ["", " ", ""]
    assert words["sentence"].tolist() == [1, 1, 2]


def test_timed_words_take_the_spelling_of_the_full_text(tmp_path):
    timing = "onset\tduration\tword\n" + "".join(
        f"{second}\t.3\t{word}\n"
        for second, word in enumerate(["oh", "DEAR", "dont", "the", "rabbithole", "said"])
    )
    text = 'CHAPTER I\n\n"Oh, dear! Don\'t -- the Rabbit-Hole," said Alice.'
    found = stimuli.prepare_story(
        [write(tmp_path / "words.tsv", timing)], [write(tmp_path / "text.txt", text)], STORY
    )
    assert found.words["word"].tolist() == ["Oh", "dear", "Don't", "the", "Rabbit-Hole", "said"]
    assert passage(found.words) == text.removesuffix(" Alice.")
    skipped = [fact for fact in found.quality if fact["measure"] == "text words not spoken"]
    assert skipped[0]["value"] == 3  # CHAPTER, I and Alice


def test_a_short_word_is_not_found_inside_a_longer_one():
    found, before, skipped = stimuli.align_words(["a", "cat"], "An ant and a cat", "text")
    assert (found, before, skipped) == (["a", "cat"], ["An ant and ", " "], 3)


def test_a_spoken_word_that_the_text_lacks_is_named_where_it_stands():
    with pytest.raises(InputError, match=r"run 2: word 2 \(`mad`\) is not in the text.*: cat sat"):
        stimuli.align_words(["the", "mad", "cat"], "The cat sat", "text.txt: run 2")


def test_accents_and_ligatures_do_not_keep_a_word_from_its_text():
    found, _, _ = stimuli.align_words(["repondit", "coeur", "a"], "répondit : « cœur », à", "text")
    assert found == ["répondit", "cœur", "à"]


def test_two_spoken_words_may_be_one_word_of_the_text():
    found, before, skipped = stimuli.align_words(["I", "did", "n't", "go"], "I didn't go.", "text")
    assert (found, before, skipped) == (["I", "did", "n't", "go"], ["", " ", "", " "], 0)


def test_a_word_of_a_language_without_spaces_is_found_by_its_characters():
    found, before, _ = stimuli.align_words(["我", "画了", "一幅"], "那时。我画了一幅。", "text")
    assert (found, before) == (["我", "画了", "一幅"], ["那时。", "", ""])


def test_a_word_may_be_spelt_as_the_dataset_file_says():
    spellings = {"three-two-five": "325"}
    found, _, _ = stimuli.align_words(["three-two-five", "and"], "3 2 5, and", "text", spellings)
    assert found == ["3 2 5", "and"]


def test_a_table_of_words_is_mended_as_its_dataset_file_says(tmp_path):
    rows = ",word,onset,offset,section\n0,le,1,1.5,1\n1,twice,2,3,1\n2, ,3,3,1\n3,fin,4,4.25,1\n"
    mending = {"words": {"0": "la"}, "drop": [1], "drop_blank": True}
    columns = {"run": "section", "offset": "offset"}
    spec = {**STORY, "columns": columns, "corrections": mending}
    words = stimuli.prepare_story([write(tmp_path / "words.csv", rows)], [], spec).words
    assert words["word"].tolist() == ["la", "fin"]
    assert words["duration"].tolist() == [0.5, 0.25]


def test_a_correction_of_a_row_that_is_not_there_is_refused(tmp_path):
    table = write(tmp_path / "words.csv", "onset,duration,word\n1,.2,Oh\n")
    spec = {**STORY, "corrections": {"drop": [338]}}
    with pytest.raises(InputError, match="row 338, but there are 1 rows"):
        stimuli.prepare_story([table], [], spec)


# --- Gentle ---------------------------------------------------------------------------------------


def gentle(path, words):
    return write(path, json.dumps({"transcript": "Well - I sat, there", "words": words}))


def test_words_of_gentle_have_the_text_of_its_transcript(tmp_path):
    found = {"case": "success", "start": 1.0, "end": 1.5}
    words = [
        {"word": "Well", "startOffset": 0, "endOffset": 4, "alignedWord": "well", **found},
        {"case": "not-found-in-transcript", "alignedWord": "uh", "start": 2.0, "end": 2.1},
        {"word": "I", "startOffset": 7, "endOffset": 8, "case": "not-found-in-audio"},
        {"word": "sat", "startOffset": 9, "endOffset": 12, "alignedWord": "<unk>", **found},
        {"word": "there", "startOffset": 14, "endOffset": 19, "alignedWord": "there", **found},
    ]
    read = stimuli.prepare_story([gentle(tmp_path / "align.json", words)], [], STORY)
    assert passage(read.words) == "Well - I sat, there"
    assert read.words["onset"].isna().tolist() == [False, True, True, False]
    counted = {fact["measure"]: fact["value"] for fact in read.quality}
    assert counted["words without onset"] == 2


def test_a_word_of_gentle_that_is_not_where_it_says_is_refused(tmp_path):
    word = {"word": "sat", "startOffset": 0, "endOffset": 3, "case": "not-found-in-audio"}
    with pytest.raises(InputError, match="word 1: expected `sat` at characters 0 to 3"):
        stimuli.prepare_story([gentle(tmp_path / "align.json", [word])], [], STORY)

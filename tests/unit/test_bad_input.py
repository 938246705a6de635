"""Bad data end a command with one line that names the file and the place, and leave no output."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from lmcortex import stimuli, storage

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
STORY = {
    "dataset": "toy",
    "kind": "story",
    "runs": ["1"],
    "samples": 30,
    "tr": 2.0,
    "start": 0.0,
    "trim": [1, 1],
    "detrend": {"polynomial": 1},
    "targets": [
        {"target": "LATL", "roi": "ATL", "hemisphere": "L"},
        {"target": "RATL", "roi": "ATL", "hemisphere": "R"},
    ],
}
SENTENCES = {
    "dataset": "toy",
    "kind": "sentences",
    "columns": {"item": "item", "subject": "subject", "text": "text"},
    "targets": [{"target": "IFG", "roi": "IFG", "hemisphere": "L"}],
}
ITEMS = "item,text\na,One fish.\nb,Two fish.\nc,Red fish.\n"


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """Run a command that must fail; return the one line that it ends with."""

    def run(script, spec, **options):
        outputs = [tmp_path / f"out-{name}" for name in ("items", "words", "output")]
        arguments = ["--spec", json.dumps(spec)]
        for name, value in options.items():
            arguments += [f"--{name}", *([value] if isinstance(value, str) else map(str, value))]
        if script == "prepare_stimuli":
            arguments += ["--output-items", str(outputs[0]), "--output-words", str(outputs[1])]
        else:
            arguments += ["--output", str(outputs[2])]
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
        printed = capsys.readouterr().err
        message = printed.splitlines()[-1]
        assert stop.value.code == 1 and message.startswith("error: "), printed
        assert "Traceback" not in printed
        assert not any(output.exists() for output in outputs)
        assert not list(tmp_path.glob(".*.partial"))
        return message

    return run


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text, "utf-8")
        return str(tmp_path / name)

    return write


# --- stimuli --------------------------------------------------------------------------------------


def refuse_sentences(refusal, write, text, spec=SENTENCES):
    return refusal("prepare_stimuli", spec, sentences=write("stimuli.csv", text))


def refuse_words(refusal, write, rows, **more):
    words = write("words.tsv", "onset\tduration\tword\n" + rows)
    return refusal("prepare_stimuli", STORY, words=words, **more)


def test_a_file_that_is_not_there(refusal):
    message = refusal("prepare_stimuli", SENTENCES, sentences="nowhere/stimuli.csv")
    assert "nowhere/stimuli.csv: no such file" in message


def test_a_misspelt_column_names_the_nearest(refusal, write):
    message = refuse_sentences(refusal, write, "item,txet\na,One fish.\n")
    assert "stimuli.csv: no column `text`; did you mean txet or item?" in message


def test_a_column_that_the_dataset_names_and_the_file_lacks(refusal, write):
    spec = {**SENTENCES, "columns": {"run": "session"}}
    assert "no column `session`" in refuse_sentences(refusal, write, ITEMS, spec)


def test_an_item_that_stands_twice(refusal, write):
    assert "item `a` stands twice" in refuse_sentences(refusal, write, ITEMS + "a,Again.\n")


def test_an_empty_sentence(refusal, write):
    assert "item `d` has an empty text" in refuse_sentences(refusal, write, ITEMS + "d,  \n")


def test_an_empty_table(refusal, write):
    assert "the table has no rows" in refuse_sentences(refusal, write, "item,text\n")


def test_a_table_that_is_not_text(refusal, tmp_path):
    (tmp_path / "stimuli.csv").write_bytes(b"item,text\na,\xff\xfe\xfa\n")
    message = refusal("prepare_stimuli", SENTENCES, sentences=str(tmp_path / "stimuli.csv"))
    assert "not a readable table" in message


def test_an_onset_that_is_no_number(refusal, write):
    message = refuse_words(refusal, write, "1\t.2\tOh\n1,5\t.2\tdear\n")
    assert "words.tsv: line 3, column `onset`: expected a finite number, found `1,5`" in message


def test_words_out_of_order(refusal, write):
    message = refuse_words(refusal, write, "2\t.2\tOh\n1\t.2\tdear\n")
    assert "run 1: word `dear` at 1.0 s starts before" in message


def test_a_word_of_negative_duration(refusal, write):
    assert "word `Oh` at 2.0 s: expected" in refuse_words(refusal, write, "2\t-1\tOh\n")


def test_an_empty_word(refusal, write):
    assert "line 3 has an empty word" in refuse_words(refusal, write, "1\t1\tOh\n2\t1\t\n")


def test_a_word_that_the_text_does_not_have(refusal, write):
    message = refuse_words(
        refusal, write, "1\t1\tOh\n2\t1\tdeer\n", text=write("text.txt", "Oh dear!")
    )
    assert "text.txt: run 1: word 2 (`deer`) is not in the text" in message


def test_an_empty_text(refusal, write):
    message = refuse_words(refusal, write, "1\t1\tOh\n", text=write("text.txt", " \n"))
    assert "text.txt: the text is empty" in message


def test_a_run_without_words(refusal, write):
    rows = "onset,duration,word,run\n1,.2,One,1\n"
    spec = {**STORY, "runs": ["1", "2"]}
    message = refusal("prepare_stimuli", spec, words=write("words.csv", rows))
    assert "words.csv: run 2 has no words" in message


def test_a_run_that_the_dataset_does_not_name(refusal, write):
    rows = "onset,duration,word,run\n1,.2,One,1\n1,.2,Two,7\n"
    message = refusal("prepare_stimuli", STORY, words=write("words.csv", rows))
    assert "run `7` is not among the dataset's runs (1)" in message


def test_a_trim_that_leaves_one_sample(refusal, write):
    spec = {**STORY, "trim": [20, 9]}
    words = write("words.tsv", "onset\tduration\tword\n1\t1\tOh\n")
    message = refusal("prepare_stimuli", spec, words=words)
    assert "run 1: trim 20 + 9 of 30 samples leaves 1" in message


# --- responses to sentences -----------------------------------------------------------------------


@pytest.fixture
def refuse_sentence_responses(refusal, write, tmp_path):
    items = stimuli.prepare_sentences(write("stimuli.csv", ITEMS), {}).items
    storage.write_table(items, tmp_path / "items.parquet", {})

    def refuse(text, spec=SENTENCES, **more):
        options = {"items": tmp_path / "items.parquet", "responses": write("responses.csv", text)}
        options = {name: str(value) for name, value in options.items()}
        return refusal("prepare_responses", spec, **options, subject="1", **more)

    return refuse


def test_an_item_without_a_response(refuse_sentence_responses):
    message = refuse_sentence_responses("subject,item,IFG\n1,a,1\n1,b,2\n")
    assert "responses.csv: subject 1: 1 of 3 items have no response (c)" in message


def test_a_response_without_an_item(refuse_sentence_responses):
    message = refuse_sentence_responses("subject,item,IFG\n1,a,1\n1,b,2\n1,c,3\n1,d,4\n")
    assert "(d)" in message and "not in the stimuli" in message


def test_two_responses_to_one_item(refuse_sentence_responses):
    message = refuse_sentence_responses("subject,item,IFG\n1,a,1\n1,b,2\n1,c,3\n1,a,4\n")
    assert "subject 1: item `a` has more than one response" in message


def test_a_subject_without_rows(refuse_sentence_responses):
    message = refuse_sentence_responses("subject,item,IFG\n2,a,1\n")
    assert "subject 1: no row has this label in column `subject`" in message


@pytest.mark.parametrize("cell", ["nan", "inf", "", "1.2.3"])
def test_a_response_that_is_no_finite_number(refuse_sentence_responses, cell):
    message = refuse_sentence_responses(f"subject,item,IFG\n2,a,1\n1,a,1\n1,b,{cell}\n1,c,3\n")
    assert f"line 4, column `IFG`: expected a finite number, found `{cell}`" in message


def test_a_misspelt_target(refuse_sentence_responses):
    message = refuse_sentence_responses("subject,item,IFGorb\n1,a,1\n1,b,2\n1,c,3\n")
    assert "no column `IFG`; did you mean IFGorb?" in message


def test_a_constant_target(refuse_sentence_responses):
    message = refuse_sentence_responses("subject,item,IFG\n1,a,7\n1,b,7\n1,c,7\n")
    assert "target `IFG` is constant (7 in all 3 rows" in message


def test_a_run_of_one_sentence(refusal, write, tmp_path):
    spec = {**SENTENCES, "columns": {"subject": None}}
    text = "item,text,run,IFG\na,One.,1,1\nb,Two.,1,2\nc,Three.,2,3\n"
    table = write("both.csv", text)
    storage.write_table(stimuli.prepare_sentences(table, {}).items, tmp_path / "i.parquet", {})
    message = refusal(
        "prepare_responses", spec, items=str(tmp_path / "i.parquet"), responses=table, subject="1"
    )
    assert "run 2: 1 samples; a run needs at least 2" in message


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("IFG,IFG,left\n", "line 2, column `hemisphere`: expected one of L, R, M, found `left`"),
        ("IFG,IFG,L\nIFG,ATL,L\n", "target `IFG` stands twice"),
    ],
)
def test_a_bad_table_of_targets(refuse_sentence_responses, write, rows, problem):
    targets = write("targets.csv", "target,roi,hemisphere\n" + rows)
    message = refuse_sentence_responses("subject,item,IFG\n1,a,1\n", targets=targets)
    assert f"targets.csv: {problem}" in message


# --- responses to a story -------------------------------------------------------------------------


@pytest.fixture
def refuse_series(refusal, tmp_path):
    storage.write_table(stimuli.sample_items(STORY), tmp_path / "items.parquet", {})

    def refuse(values, suffix=".txt", spec=STORY, **more):
        path = tmp_path / f"s33{suffix}"
        np.save(path, values) if suffix == ".npy" else np.savetxt(path, values)
        items = str(tmp_path / "items.parquet")
        return refusal(
            "prepare_responses", spec, items=items, responses=str(path), subject="33", **more
        )

    return refuse


@pytest.fixture
def series():
    return np.random.default_rng(0).normal(size=(30, 2))


def test_a_subject_of_zeros(refuse_series, series):
    assert "s33.txt: run 1: all values are zero; exclude this subject" in refuse_series(0 * series)


def test_the_subject_of_alice_who_is_all_zeros(refusal, tmp_path, data_dir):
    spec = {**STORY, "samples": 362, "targets": STORY["targets"] * 3}
    storage.write_table(stimuli.sample_items(spec), tmp_path / "items.parquet", {})
    file = str(data_dir / "alice/timecourses_6mm/s33-timecourses.txt")
    items = str(tmp_path / "items.parquet")
    message = refusal("prepare_responses", spec, items=items, responses=file, subject="33")
    assert "s33-timecourses.txt: run 1: all values are zero" in message


def test_a_subject_with_another_number_of_samples(refuse_series, series):
    assert "s33.txt: run 1: expected 30 samples, found 29" in refuse_series(series[1:])


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_sample_that_is_not_finite(refuse_series, series, suffix, value):
    series[16, 1] = value
    message = refuse_series(series, suffix)
    assert f"s33{suffix}: row 17, column 2: expected a finite number, found {value}" in message


def test_a_constant_series(refuse_series, series):
    series[:, 1] = 80.5
    assert "run 1: target `RATL` is constant (80.5 in all 30 rows" in refuse_series(series)


def test_a_series_that_is_nothing_but_drift(refuse_series, series):
    series[:, 1] = 100 + np.arange(30)
    message = refuse_series(series)
    assert "target `RATL` is constant once prepared" in message


def test_a_file_with_another_number_of_columns(refuse_series, series):
    assert "expected 2 columns, one per target, found 1" in refuse_series(series[:, :1])


def test_a_cut_off_array(refuse_series, refusal, series, tmp_path):
    np.save(tmp_path / "cut.npy", series)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:200])
    items = str(tmp_path / "items.parquet")
    message = refusal(
        "prepare_responses", STORY, items=items, responses=str(tmp_path / "cut.npy"), subject="33"
    )
    assert "cut.npy: not a table of numbers" in message


def test_pickled_objects_are_not_loaded(refuse_series, refusal, tmp_path):
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    items = str(tmp_path / "items.parquet")
    message = refusal(
        "prepare_responses",
        STORY,
        items=items,
        responses=str(tmp_path / "pickle.npy"),
        subject="33",
    )
    assert "pickle.npy: not a table of numbers" in message


def test_fewer_files_than_runs(refuse_series, series):
    spec = {**STORY, "runs": ["1", "2"]}
    assert "1 response files for 2 runs" in refuse_series(series, spec=spec)


def test_items_of_another_trim(refuse_series, series):
    message = refuse_series(series, spec={**STORY, "trim": [0, 0]})
    assert "30 samples for 28 items" in message


@pytest.fixture
def scan(tmp_path):
    import nibabel as nib

    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = [-10, 0, 0]
    bold = np.random.default_rng(1).normal(size=(6, 3, 3, 30)).astype(np.float32)
    images = {"bold": bold, "mask": np.ones((6, 3, 3), np.uint8)}
    for name, data in images.items():
        nib.save(nib.Nifti1Image(data, affine), tmp_path / f"{name}.nii.gz")
    storage.write_table(stimuli.sample_items(STORY), tmp_path / "items.parquet", {})
    return tmp_path


@pytest.mark.parametrize(
    ("rois", "masked", "problem"),
    [
        ({"TP": {"spheres": [[-90, 0, 0]], "radius": 5}}, True, "roi `TP` has no voxel inside"),
        ({"TP": {"labels": [3]}}, True, "roi `TP` is given by atlas labels, but there is no atlas"),
        ({}, False, "need a brain mask"),
    ],
)
def test_voxels_that_cannot_be_found(refusal, scan, rois, masked, problem):
    files, items = str(scan / "bold.nii.gz"), str(scan / "items.parquet")
    mask = {"mask": str(scan / "mask.nii.gz")} if masked else {}
    spec = {**STORY, "rois": rois}
    message = refusal("prepare_responses", spec, items=items, responses=files, subject="1", **mask)
    assert problem in message


def test_a_volume_where_a_scan_is_expected(refusal, scan):
    mask, items = str(scan / "mask.nii.gz"), str(scan / "items.parquet")
    message = refusal(
        "prepare_responses", STORY, items=items, responses=mask, mask=mask, subject="1"
    )
    assert "mask.nii.gz: expected 4 dimensions, found shape (6, 3, 3)" in message


# --- all subjects ---------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["average_responses", "estimate_ceiling"])
def test_subjects_who_heard_something_else(refusal, tmp_path, series, script):
    from lmcortex import responses

    targets = responses.target_table(STORY["targets"])
    for subject, samples in (("01", 30), ("02", 29)):
        items = stimuli.sample_items({**STORY, "samples": samples, "trim": [0, 0]})
        made = responses.to_dataset(
            series[:samples], items, targets, dataset="toy", subject=subject
        )
        storage.write_dataset(made, tmp_path / f"sub-{subject}.nc", {})
    files = [tmp_path / "sub-01.nc", tmp_path / "sub-02.nc"]
    message = refusal(script, {}, responses=files)
    assert "subject 02: its items differ from those of subject 01" in message

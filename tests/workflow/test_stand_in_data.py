"""Stand-in data of each layout that a dataset file can name are what the workflow reads."""

from pathlib import Path

import pytest
from stand_in_data import write_data

from lmcortex import responses, stimuli
from lmcortex.datasets import Sentences, load_dataset

TARGETS = "targets: [{target: LIFG, roi: IFG, hemisphere: L}]"
TWO = "subjects: ['01', '02']\n"
SENTENCES = "kind: sentences\nstimuli: data/stimuli.csv\n"
STORY = f"{TWO}kind: story\ntr: 2\nstart: 4\nsamples: [30, 25]\nruns: ['1', '2']\n"
DATASETS = {
    "one table": f"{SENTENCES}responses: data/stimuli.csv\ncolumns: {{subject: null}}\n{TARGETS}\n"
    "subjects: [average]",
    "a table for all": f"{TWO}{SENTENCES}responses: data/responses.tsv\n{TARGETS}",
    "a table for each": f"{TWO}{SENTENCES}responses: data/{{subject}}.csv\n"
    "targets: data/targets.csv",
    "csv": f"{STORY}words: data/words.tsv\nresponses: data/{{subject}}-{{run}}.csv\n{TARGETS}",
    "arrays": f"{STORY}words: data/{{run}}.TextGrid\nresponses: data/{{subject}}-{{run}}.npy\n"
    f"{TARGETS}",
    "text": f"{STORY}words: data/{{run}}.csv\nresponses: data/{{subject}}-{{run}}.txt\n{TARGETS}\n"
    "text: data/{run}.txt",
    "images": f"{STORY}words: data/words.tsv\nresponses: data/{{subject}}-{{run}}.nii.gz\n"
    "mask: data/mask.nii.gz\natlas: data/atlas.nii.gz\n"
    "regions: {IFG: {labels: [1, 3]}, TP: {spheres: [[-48, 15, -27]], radius: 10}}",
    "gentle": f"{TWO}kind: story\ntr: 2\nstart: 4\nsamples: 30\ntask: tale\n"
    f"words: data/{{task}}/align.json\nresponses: data/{{subject}}.npy\n{TARGETS}",
    "images on another grid": f"{STORY}words: data/words.csv\ncolumns: {{offset: offset}}\n"
    "responses: data/{subject}-*.nii.gz\nmask: data/mask.nii.gz\nvoxelwise: true\n"
    "grid: {origin: [-72, -106, -64], spacing: 12, shape: [13, 15, 12]}\n"
    "rois: {TP: {center: [-48, 15, -27]}}",
}


@pytest.mark.parametrize("layout", DATASETS)
def test_stand_in_data_are_read(tmp_path, monkeypatch, layout: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config/datasets").mkdir(parents=True)
    for others in ("suites", "windows"):
        Path(f"config/{others}.yaml").write_text("{}")
    Path("config/datasets/mine.yaml").write_text(f"title: Mine\n{DATASETS[layout]}\n")
    write_data(Path("config"))
    dataset = load_dataset("mine", Path("config"))
    if isinstance(dataset, Sentences):
        stimulus = stimuli.prepare_sentences(dataset.stimuli, dataset.stimuli_spec())
    else:
        files = dataset.stimulus_files()
        spec = dataset.stimuli_spec()
        stimulus = stimuli.prepare_story(files["words"], files.get("text", []), spec)
    assert len(stimulus.words) >= len(stimulus.items) > 0
    for subject in dataset.subjects:
        files = dataset.recording_files(subject)
        series = files.pop("responses")
        given = responses.Files([series] if isinstance(series, str) else series, **files)
        spec = {"dataset": "mine", **dataset.responses_spec()}
        prepared, _ = responses.prepare(given, stimulus.items, spec, subject=subject)
        assert len(prepared["sample"]) == len(stimulus.items)

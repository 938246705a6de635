"""Pages hold their tables whole, need nothing else, and say what they leave out."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import study_tables as tables

from lmcortex import pages
from lmcortex.errors import InputError

REPORT = Path(__file__).resolve().parents[2] / "workflow" / "report"
PARTS = [(REPORT / name).read_text("utf-8") for name in ("table.html", "table.js", "page.css")]
SOFTWARE = {
    "name": "demo",
    "study": {"title": "Demo <study>", "datasets": ["story", "sentences"]},
    "fits": {"story-5": {"kind": "story"}},
    "datasets": {
        "story": {"title": "Simulated story", "citation": "", "licence": "", "simulated": True},
        "sentences": {
            "title": "Sentences",
            "citation": "Somebody 2024, https://doi.org/10.1/x",
            "licence": "CC BY 4.0",
            "simulated": False,
        },
    },
    "models": {"suite-l": {"source": "suite small", "citation": "Nobody 2023"}},
}


class Page(HTMLParser):
    """The elements of a page: (tag, attributes), and the text of each script."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements and self.elements[-1][1].get("id") == "data":
            self.data += data.strip()


def content(page: str) -> dict:
    """Unpack the table that a page embeds."""
    return json.loads(gzip.decompress(base64.b64decode(Page(page).data)))


def column(page: str, name: str) -> list:
    found = next(column for column in content(page)["columns"] if column["name"] == name)
    words = found.get("words")
    return [words[i] for i in found["values"]] if words else found["values"]


@pytest.fixture(scope="module")
def scores_page() -> str:
    return pages.table_page(tables.scores(), {"table": "scores", "simulated": ["story"]}, *PARTS)


def software_page() -> str:
    parts = [(REPORT / name).read_text("utf-8") for name in ("software.html", "page.css")]
    return pages.software_page(tables.provenance(), SOFTWARE, *parts)


def test_a_page_holds_every_row_and_column(scores_page):
    scores = tables.scores()
    embedded = content(scores_page)
    assert embedded["length"] == len(scores)
    assert [column["name"] for column in embedded["columns"]] == list(scores.columns)
    assert column(scores_page, "roi") == scores["roi"].tolist()
    assert column(scores_page, "r") == pytest.approx(scores["r"].tolist(), rel=1e-5)


def test_missing_numbers_are_null_and_whole_numbers_stay_whole(scores_page):
    scores = tables.scores()
    nulls = [value is None for value in column(scores_page, "ci_low")]
    assert nulls == scores["ci_low"].isna().tolist()
    assert column(scores_page, "n_params")[0] == 270_000
    assert isinstance(column(scores_page, "step")[0], int)


@pytest.mark.parametrize("page", ["table", "software"])
def test_pages_ask_for_nothing_from_elsewhere(page, scores_page):
    text = scores_page if page == "table" else software_page()
    for tag, attributes in Page(text).elements:
        assert tag not in ("link", "img", "iframe", "object")
        assert "src" not in attributes
    assert not re.search(r"@import|url\(", text)


def test_a_table_of_simulated_data_says_so(scores_page):
    assert "SIMULATED DATA: story" in scores_page
    recorded = tables.scores().query("dataset == 'sentences'")
    page = pages.table_page(recorded, {"table": "scores", "simulated": ["story"]}, *PARTS)
    assert "SIMULATED" not in page


def test_where_keeps_some_rows_and_the_page_says_which():
    spec = {"table": "scores", "where": {"layer": -1}}
    page = pages.table_page(tables.scores(), spec, *PARTS)
    assert set(column(page, "layer")) == {-1}
    assert "Only rows with layer = -1" in page


def test_where_with_an_unknown_column_is_an_error_that_names_the_columns():
    with pytest.raises(InputError, match="no column `level`; it has family"):
        pages.table_page(tables.scores(), {"table": "scores", "where": {"level": 1}}, *PARTS)


def test_a_page_stays_within_what_chromium_opens_in_a_frame():
    numbers = np.random.default_rng(0).normal(size=(100_000, 12))
    table = pd.DataFrame(numbers, columns=[f"c{i}" for i in range(12)])
    page = pages.table_page(table, {"table": "scores"}, *PARTS)
    assert len(base64.b64encode(page.encode())) < 2 * 1024**2
    kept = content(page)["length"]
    assert 10_000 < kept < 100_000
    assert f"Only the first {kept:,} of 100,000 rows" in page


def test_a_page_is_the_same_bytes_every_time(scores_page):
    spec = {"table": "scores", "simulated": ["story"]}
    assert pages.table_page(tables.scores(), spec, *PARTS) == scores_page


def test_lists_truth_values_and_missing_words_are_shown_as_text():
    table = pd.DataFrame({"a": [[1, 2], None], "b": [True, False], "c": ["x", None]})
    page = pages.table_page(table, {"table": "other"}, *PARTS)
    assert column(page, "a") == ["[1, 2]", ""]
    assert column(page, "b") == ["True", "False"]
    assert column(page, "c") == ["x", ""]


def test_the_software_page_tells_data_models_code_and_settings():
    page = software_page()
    for expected in ("Somebody 2024", "CC BY 4.0", "suite small",
        "Nobody 2023", "c0ffee", "f" * 64, "2.3.1",
                     "fit_encoding", "bbbbbbbbbbbb", "cuda", "kind: story"):  # fmt: skip
        assert expected in page
    assert page.count("SIMULATED DATA") == 1


def test_settings_cannot_break_the_software_page():
    assert "Demo &lt;study&gt;" in software_page()

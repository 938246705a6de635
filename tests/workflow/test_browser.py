"""What a reader does with a table in the report, and whether `browser` sees what is wrong."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import opened

from lmcortex import pages
from lmcortex.figures import surface
from lmcortex.maps import as_image

ROOT = Path(__file__).resolve().parents[2]
PARTS = [
    (ROOT / "workflow" / "report" / name).read_text("utf-8")
    for name in ("table.html", "table.js", "page.css")
]
TABLE = pd.DataFrame(
    {
        "model": [f"model-{i % 60}" for i in range(250)],
        "roi": ["IFG", "ATL"] * 125,
        "r": [None, *(0.001 * i for i in range(1, 250))],
    }
)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "scores.html"
    path.write_text(pages.table_page(TABLE, {"table": "scores"}, *PARTS), "utf-8")
    problems: list[str] = []
    with opened(path, problems) as page:
        page.wait_for_selector("tbody tr")
        yield page
    assert problems == []


def cells(page, column: int) -> list[str]:
    return page.locator(f"tbody tr td:nth-child({column})").all_inner_texts()


def test_a_table_shows_a_hundred_rows_at_a_time(page):
    assert page.inner_text("#count") == "250 rows"
    assert len(cells(page, 1)) == 100
    page.click("#next")
    page.click("#next")
    assert page.inner_text("#page") == "page 3 of 3"
    assert len(cells(page, 1)) == 50


def test_a_click_on_a_column_sorts_with_missing_values_last(page):
    head = page.get_by_role("button", name="r", exact=True)
    head.click()
    assert cells(page, 3)[:2] == ["0.001", "0.002"]
    page.get_by_role("button", name="r ▲").click()
    assert cells(page, 3)[:2] == ["0.249", "0.248"]
    page.click("#next")
    page.click("#next")
    assert cells(page, 3)[-1] == "\u2013"


def test_numbers_filter_by_comparison_and_range(page):
    box = page.get_by_label("filter r", exact=True)
    for typed, expected in ((">0.2", 49), ("0.1..0.109", 10), ("<=0.001", 1), ("0.042", 1)):
        box.fill(typed)
        assert page.inner_text("#count") == f"{expected} of 250 rows"


def test_text_filters_by_menu_and_by_part_and_search_looks_everywhere(page):
    page.get_by_label("filter roi").select_option(label="ATL")
    assert page.inner_text("#count") == "125 of 250 rows"
    page.get_by_label("filter model").fill("MODEL-7")
    assert set(cells(page, 1)) == {"model-7"}
    page.click("#clear")
    page.fill("#search", "model-59")
    assert set(cells(page, 1)) == {"model-59"}


def test_a_cell_tells_its_full_value(page):
    page.get_by_label("filter r", exact=True).fill("0.042")
    assert page.locator("tbody td.number").get_attribute("title") == "0.042"


def test_download_gives_the_rows_that_are_shown(page, tmp_path):
    page.get_by_label("filter roi").select_option(label="IFG")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert download.value.suggested_filename == "scores.csv"
    assert len(rows) == 125
    assert {row["roi"] for row in rows} == {"IFG"}


def test_errors_outside_requests_and_missing_images_are_seen(tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        "<p>x</p><script>console.error('broken')</script>"
        "<img src='https://example.org/x.png'><img src='missing.png'>"
    )
    problems: list[str] = []
    with opened(path, problems) as page:
        page.wait_for_load_state("networkidle")
    assert any("console: broken" in problem for problem in problems)
    assert any("outside request: https://example.org/x.png" in problem for problem in problems)
    assert any("missing.png" in problem for problem in problems)


def test_the_cortex_is_drawn_offline_from_a_page_that_a_report_can_hold(tmp_path):
    places = 4.0 * np.argwhere(np.ones((37, 46, 38))) - [72, 106, 64]
    values = np.random.default_rng(0).random(len(places))
    inner = surface.interactive(
        surface.project(as_image(values, places)), cmap="magma_r", vmin=0, vmax=1
    )
    parts = [
        (ROOT / "workflow" / "report" / name).read_text() for name in ("cortex.html", "page.css")
    ]
    template, style = parts
    page = pages.cortex_page(
        inner, title="r", about="", simulated=True, template=template, style=style
    )
    assert len(page) < pages.MAX_BYTES
    path, problems = tmp_path / "cortex.html", []
    path.write_text(page, "utf-8")
    with opened(path, problems) as shown:
        shown.frame_locator("#cortex").locator("canvas").first.wait_for(timeout=60_000)
    assert problems == []

"""Read a report as a person would: in headless Chromium, with no network, every result clicked.

``python tests/workflow/browser.py report.html [screenshots]`` does it by hand.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, Route, sync_playwright

CANDIDATES = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1500, "height": 1000}


@dataclass
class Visit:
    """What happened while a report was read."""

    shown: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def chromium() -> str | None:
    """Return the browser's path (CHROMIUM, or what is installed); None lets playwright decide."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CANDIDATES)), None)


@contextmanager
def opened(path: Path, problems: list[str]) -> Iterator[Page]:
    """Open a local page; what it logs as an error or asks of any other place is a problem."""
    home = path.resolve().as_uri()

    def gate(route: Route) -> None:
        url = route.request.url
        if url.startswith((home, "data:", "blob:")):
            route.continue_()
        else:
            problems.append(f"outside request: {url}")
            route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(viewport=SIZE, offline=True)
        page = context.new_page()
        page.on("console", lambda m: m.type == "error" and problems.append(f"console: {m.text}"))
        page.on("pageerror", lambda error: problems.append(f"script: {error}"))
        page.on("requestfailed", lambda r: problems.append(f"failed request: {r.url[:200]}"))
        page.route("**/*", gate)
        page.goto(home)
        yield page
        browser.close()


def visit(report: Path, screenshots: Path | None = None) -> Visit:
    """Open every result of a Snakemake report, and every caption.

    Parameters
    ----------
    report : one self-contained HTML file.
    screenshots : folder for a picture of each result, none by default.

    Returns
    -------
    The paths of the results that were shown, and everything that went wrong.
    """
    made = Visit()
    with opened(report, made.problems) as page:
        page.wait_for_selector("#app nav, #app ul")
        picture(page, screenshots, "landing")
        places = page.evaluate(
            "Object.entries(categories).flatMap(([category, inner]) =>"
            " Object.entries(inner).map(([name, paths]) => [category, name, paths]))"
        )
        for category, subcategory, paths in places:
            open_category(page, category, subcategory)
            for row in page.locator("#app tbody tr").all():
                row.get_by_role("link").first.click()
                page.locator("#app img, #app iframe").last.wait_for()
            for path in paths:
                show(page, path, made)
                picture(page, screenshots, path.replace("/", "_"))
    return made


def open_category(page: Page, category: str, subcategory: str) -> None:
    """Click from the menu to a list of results."""
    page.evaluate("app.setView({navbarMode: 'menu', content: 'metadata'})")
    page.get_by_role("link", name=category, exact=True).click()
    entry = page.get_by_role("link", name=subcategory, exact=True)
    if entry.count():
        entry.first.click()
    page.wait_for_selector("tbody tr")


def show(page: Page, path: str, made: Visit) -> None:
    """Show a result as its eye button does, and its caption; check that it is really there."""
    page.evaluate(
        "path => new ButtonViewManager(app).handleSelectedResult(path).props.onClick()", path
    )
    if path.endswith(".html"):
        frame = page.frame_locator("iframe")
        frame.locator("h1").first.wait_for(timeout=60_000)
        if "table.html" in path or frame.locator("#count").count():
            frame.locator("tbody tr").first.wait_for(timeout=60_000)
    else:
        image = page.locator("#app img").last
        image.wait_for()
        width = image.evaluate("image => image.decode().then(() => image.naturalWidth, () => 0)")
        if not width:
            made.problems.append(f"{path}: the image is missing or broken")
    page.evaluate("path => app.showResultInfo(path)", path)
    if not page.get_by_text("Description").count():
        made.problems.append(f"{path}: no caption")
    made.shown.append(path)
    page.evaluate("app.setView({navbarMode: 'subcategory'})")


def picture(page: Page, folder: Path | None, name: str) -> None:
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(folder / f"{name}.png"))


if __name__ == "__main__":
    result = visit(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    print(f"{len(result.shown)} results shown, {len(result.problems)} problems")
    sys.exit("\n".join(result.problems))

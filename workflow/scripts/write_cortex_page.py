"""Write a page on which one can turn the cortex with a map of scores on it."""

from pathlib import Path

from lmcortex import cli, maps, pages, storage
from lmcortex.figures import maps as figures
from lmcortex.figures import style, surface


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True, help="map of nested scores")
    parser.add_argument("--template", type=Path, required=True, help="workflow/report/cortex.html")
    parser.add_argument("--style", type=Path, required=True, help="workflow/report/page.css")
    parser.add_argument("--output", required=True, help=".html")
    args = parser.parse_args()
    view, image = style.View(**args.spec), maps.read_image(args.scores)
    shades = figures.shades(figures.Row("", image, signed=False))
    page = pages.cortex_page(
        surface.interactive(surface.project(image), **shades),
        title=f"Nested r of {style.display_name(view.model)} · {view.title or view.dataset}",
        about=f"Cross-validated r · {figures.whose(view)}. Drag to turn, scroll to zoom.",
        simulated=view.simulated,
        template=args.template.read_text("utf-8"),
        style=args.style.read_text("utf-8"),
    )
    with storage.replacing(args.output) as temporary:
        temporary.write_text(page, "utf-8")


if __name__ == "__main__":
    cli.run(main)

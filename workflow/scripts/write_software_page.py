"""Write a page with the study's configuration, and the software that it was computed with."""

from pathlib import Path

from lmcortex import cli, pages, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--provenance", required=True, help="table provenance")
    parser.add_argument("--template", type=Path, required=True, help=".../report/software.html")
    parser.add_argument("--style", type=Path, required=True, help="workflow/report/page.css")
    parser.add_argument("--output", required=True, help=".html")
    args = parser.parse_args()
    table = storage.read_table(args.provenance)
    parts = [path.read_text("utf-8") for path in (args.template, args.style)]
    with storage.replacing(args.output) as temporary:
        temporary.write_text(pages.software_page(table, args.spec, *parts), "utf-8")


if __name__ == "__main__":
    cli.run(main)

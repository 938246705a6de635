"""Write a table of a study as a page that one can sort and filter."""

from pathlib import Path

from lmcortex import cli, pages, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--table", required=True, help="table of a study, .parquet")
    parser.add_argument("--template", type=Path, required=True, help="workflow/report/table.html")
    parser.add_argument("--script", type=Path, required=True, help="workflow/report/table.js")
    parser.add_argument("--style", type=Path, required=True, help="workflow/report/page.css")
    parser.add_argument("--output", required=True, help=".html")
    args = parser.parse_args()
    table = storage.read_table(args.table)
    spec = {"table": Path(args.table).stem, **args.spec}
    parts = [path.read_text("utf-8") for path in (args.template, args.script, args.style)]
    with storage.replacing(args.output) as temporary:
        temporary.write_text(pages.table_page(table, spec, *parts), "utf-8")


if __name__ == "__main__":
    cli.run(main)

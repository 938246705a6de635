"""Write a table of a study as a page that one can sort and filter."""

from pathlib import Path

from lmcortex import cli, pages, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--table", required=True, help="table of a study, .parquet")
    parser.add_argument("--template", required=True, help="workflow/report/table.html")
    parser.add_argument("--output", required=True, help=".html")
    args = parser.parse_args()
    table = storage.read_table(args.table)
    spec = {"table": Path(args.table).stem, **args.spec}
    with storage.replacing(args.output) as temporary:
        temporary.write_text(pages.table_page(table, spec, args.template), "utf-8")


if __name__ == "__main__":
    cli.run(main)

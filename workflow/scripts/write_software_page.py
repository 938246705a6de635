"""Write a page with the study's configuration, and the software that it was computed with."""

from lmcortex import cli, pages, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--provenance", required=True, help="table provenance")
    parser.add_argument("--template", required=True, help="workflow/report/software.html")
    parser.add_argument("--output", required=True, help=".html")
    args = parser.parse_args()
    table = storage.read_table(args.provenance)
    with storage.replacing(args.output) as temporary:
        temporary.write_text(pages.software_page(table, args.spec, args.template), "utf-8")


if __name__ == "__main__":
    cli.run(main)

"""Collect what was counted, dropped and measured of the data into one table."""

from lmcortex import cli, provenance, quality, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--files", type=cli.listed, required=True, help="list of outputs")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    table = quality.quality_table(args.files, args.spec["excluded"])
    storage.write_study_table(table, args.output, provenance.record("collect_quality", args.spec))


if __name__ == "__main__":
    cli.run(main)

"""Collect what made every output of a study into one table."""

from lmcortex import cli, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--files", type=cli.listed, required=True, help="list of outputs")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    table = provenance.provenance_table(args.files)
    storage.write_study_table(table, args.output, provenance.record("collect_provenance", {}))


if __name__ == "__main__":
    cli.run(main)

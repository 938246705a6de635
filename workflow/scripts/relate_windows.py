"""Correlate integration windows with scores, training progress and depth taken out."""

from threadpoolctl import threadpool_limits

from lmcortex import cli, provenance, storage
from lmcortex.statistics.windows import relate_windows


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True)
    parser.add_argument("--windows", required=True)
    parser.add_argument("--yoking", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    tables = [storage.read_table(path) for path in (args.scores, args.windows, args.yoking)]
    with threadpool_limits(args.threads):
        table = relate_windows(*tables, args.spec)
    storage.write_study_table(table, args.output, provenance.record("relate_windows", args.spec))


if __name__ == "__main__":
    cli.run(main)

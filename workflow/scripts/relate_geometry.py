"""Correlate entropy and curvature with scores, training progress taken out."""

from threadpoolctl import threadpool_limits

from lmcortex import cli, provenance, storage
from lmcortex.statistics.geometry_brain import relate_geometry


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True)
    parser.add_argument("--geometry", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    scores, geometry = storage.read_table(args.scores), storage.read_table(args.geometry)
    with threadpool_limits(args.threads):
        table = relate_geometry(scores, geometry, args.spec)
    storage.write_study_table(table, args.output, provenance.record("relate_geometry", args.spec))


if __name__ == "__main__":
    cli.run(main)

"""Say for each run of a subject which voxels hold a brain, or a signal."""

from lmcortex import cli, coverage, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--responses", nargs="+", help="NIfTI images, one per run")
    source.add_argument("--archive", help="note of responses that were fetched")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    series = storage.read_json(args.archive)["files"] if args.archive else args.responses
    covered = coverage.cover_runs(series, args.spec)
    storage.write_image(covered, args.output, provenance.record("cover_runs", args.spec))


if __name__ == "__main__":
    cli.run(main)

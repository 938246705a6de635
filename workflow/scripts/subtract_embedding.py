"""Map what a model's nested scores add to the mean over seeds of the random embedding."""

from lmcortex import cli, maps, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True, help="map of the model's nested scores")
    parser.add_argument("--embeddings", required=True, nargs="+", help="maps, one for each seed")
    parser.add_argument("--output", required=True, help=".nii.gz")
    args = parser.parse_args()

    embedding = maps.mean([maps.read_image(path) for path in args.embeddings])
    added = maps.subtract(maps.read_image(args.scores), embedding)
    record = provenance.record("subtract_embedding", args.spec)
    storage.write_image(added, args.output, record)


if __name__ == "__main__":
    cli.run(main)

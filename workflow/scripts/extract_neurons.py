"""Extract what a model's artificial neurons put out for the words of a story."""

from lmcortex import cli, features, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--words", required=True)
    parser.add_argument("--checkpoint", required=True, help="description by fetch_checkpoint")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    found = features.extract_neurons(
        storage.read_table(args.words),
        storage.read_json(args.checkpoint),
        args.spec,
        args.device,
        args.threads,
    )
    made = provenance.record("extract_neurons", args.spec, **found.facts)
    storage.write_arrays(found.arrays, args.output, made, **found.metadata)


if __name__ == "__main__":
    cli.run(main)

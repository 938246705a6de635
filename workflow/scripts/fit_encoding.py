"""Fit ridge encoders from one model's states to brain responses."""

from threadpoolctl import threadpool_limits

from lmcortex import cli, encoding, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--features", required=True)
    parser.add_argument("--responses", required=True, nargs="+", help="one file per subject")
    parser.add_argument("--items", required=True)
    parser.add_argument("--words", required=True)
    parser.add_argument("--layers", help="07, or 00-12 for a block; all when not given")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    device = encoding.use_device(args.device)
    items = storage.read_table(args.items)
    responses = [storage.read_dataset(path) for path in args.responses]
    with threadpool_limits(args.threads):
        result = encoding.fit_encoding(
            encoding.read_features(args.features, args.spec["pooling"], args.layers),
            encoding.stack_responses(responses, items),
            items,
            storage.read_table(args.words),
            args.spec,
        )
    facts = {"device": device, "dtype": "float64", "tf32": False}
    facts["quality"] = encoding.dropped_columns(result)
    record = provenance.record("fit_encoding", args.spec, **facts)
    storage.write_dataset(result, args.output, record)


if __name__ == "__main__":
    cli.run(main)

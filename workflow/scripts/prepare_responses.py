"""Filter, trim and z-score one subject's brain responses, in step with the stimulus' items."""

from lmcortex import cli, provenance, responses, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", required=True, help="items.parquet of the dataset")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--responses", nargs="+", help="one table, or one per run")
    source.add_argument("--archive", help="note of responses that were fetched")
    parser.add_argument("--targets", help="targets.csv, where the spec does not list the targets")
    parser.add_argument("--mask", help="brain mask of NIfTI responses")
    parser.add_argument("--atlas", help="atlas of NIfTI responses")
    parser.add_argument("--subject", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    series = storage.read_json(args.archive)["files"] if args.archive else args.responses
    files = responses.Files(series, args.targets, args.mask, args.atlas)
    items = storage.read_table(args.items)
    prepared, quality = responses.prepare(files, items, args.spec, subject=args.subject)
    facts = {"subject": args.subject, "quality": quality}
    facts["data_hash"] = provenance.data_hash(series)
    record = provenance.record("prepare_responses", args.spec, **facts)
    storage.write_dataset(prepared, args.output, record)


if __name__ == "__main__":
    cli.run(main)

"""Filter, trim and z-score one subject's brain responses, in step with the stimulus' items."""

from lmcortex import cli, provenance, responses, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", required=True, help="items.parquet of the dataset")
    parser.add_argument("--responses", nargs="+", required=True, help="one table, or one per run")
    parser.add_argument("--targets", help="targets.csv, where the spec does not list the targets")
    parser.add_argument("--mask", help="brain mask of NIfTI responses")
    parser.add_argument("--atlas", help="atlas of NIfTI responses")
    parser.add_argument("--subject", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    files = responses.Files(args.responses, args.targets, args.mask, args.atlas)
    items = storage.read_table(args.items)
    prepared, quality = responses.prepare(files, items, args.spec, subject=args.subject)
    facts = {"subject": args.subject, "quality": quality}
    facts["data_hash"] = provenance.data_hash(args.responses)
    record = provenance.record("prepare_responses", args.spec, **facts)
    storage.write_dataset(prepared, args.output, record)


if __name__ == "__main__":
    cli.run(main)

"""Estimate the noise ceiling of every target, for each subject and for their average."""

from contextlib import ExitStack

from lmcortex import ceilings, cli, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--responses", nargs="+", required=True, help="prepared, one per subject")
    parser.add_argument("--image", help="NIfTI of published ceilings")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    with ExitStack() as files:
        subjects = [files.enter_context(storage.open_dataset(path)) for path in args.responses]
        half_groups = args.spec.get("half_groups", False)
        published = args.spec.get("published")
        if args.image:
            published = ceilings.read_published(args.image, subjects[0])
        table, quality = ceilings.estimate(subjects, published, half_groups=half_groups)
        facts = {"dataset": subjects[0].attrs["dataset"], "quality": quality}
    storage.write_table(
        table, args.output, provenance.record("estimate_ceiling", args.spec, **facts)
    )


if __name__ == "__main__":
    cli.run(main)

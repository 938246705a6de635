"""Average the prepared responses of a dataset's subjects, as subject `average`."""

from contextlib import ExitStack

from lmcortex import cli, provenance, responses, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--responses", nargs="+", required=True, help="prepared, one per subject")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()

    with ExitStack() as files:
        subjects = [files.enter_context(storage.open_dataset(path)) for path in args.responses]
        mean = responses.average(subjects)
        facts = {"dataset": mean.attrs["dataset"], "subject": mean.attrs["subject"]}
        record = provenance.record("average_responses", args.spec, **facts)
        storage.write_dataset(mean, args.output, record)


if __name__ == "__main__":
    cli.run(main)

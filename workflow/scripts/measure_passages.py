"""Measure the entropy and curvature of a story's passages at every layer of a checkpoint."""

from lmcortex import cli, geometry, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--words", required=True)
    parser.add_argument("--checkpoint", required=True, help="description by fetch_checkpoint")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    checkpoint = storage.read_json(args.checkpoint)
    found = geometry.measure_passages(
        storage.read_table(args.words), checkpoint, args.spec, args.device, args.threads
    )
    made = provenance.record("measure_passages", args.spec, **found.facts)
    run = {name: checkpoint[name] for name in ("model", "checkpoint")}
    table = found.table.assign(dataset=args.spec["dataset"], **run)
    storage.write_table(table, args.output, made)


if __name__ == "__main__":
    cli.run(main)

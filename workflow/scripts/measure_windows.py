"""Measure the integration windows and the structure yoking of every unit of a checkpoint."""

from lmcortex import cli, provenance, storage
from lmcortex.windows.measure import measure_windows


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--swaps", required=True, help="table by choose_swaps")
    parser.add_argument("--checkpoint", required=True, help="description by fetch_checkpoint")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--output", required=True)
    parser.add_argument("--yoking-output", required=True)
    parser.add_argument("--differences-output", required=True, help=".safetensors")
    args = parser.parse_args()
    checkpoint = storage.read_json(args.checkpoint)
    found = measure_windows(
        storage.read_table(args.swaps), checkpoint, args.spec, args.device, args.threads
    )
    made = provenance.record("measure_windows", args.spec, **found.facts)
    run = {
        "text": args.spec["text"],
        **{name: checkpoint[name] for name in ("model", "checkpoint")},
    }
    storage.write_arrays(found.differences, args.differences_output, made, **run)
    storage.write_table(found.yoking.assign(**run), args.yoking_output, made)
    storage.write_table(found.windows.assign(**run), args.output, made)


if __name__ == "__main__":
    cli.run(main)

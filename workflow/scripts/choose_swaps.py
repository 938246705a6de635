"""Cut sequences from a text, and choose for each word another to take its place."""

from lmcortex import cli, provenance, storage
from lmcortex.windows.swaps import choose_swaps


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--files", nargs="*", default=[], help="texts; none: Python's reference")
    parser.add_argument("--checkpoint", required=True, help="description by fetch_checkpoint")
    parser.add_argument("--masked", help="description of a masked language model")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    checkpoint = storage.read_json(args.checkpoint)
    masked = storage.read_json(args.masked) if args.masked else None
    table = choose_swaps(args.files, checkpoint, masked, args.spec, args.device, args.threads)
    facts = {name: checkpoint[name] for name in ("commit", "fingerprint", "tokenizer_hash")}
    made = provenance.record("choose_swaps", args.spec, threads=args.threads, **facts)
    storage.write_table(table, args.output, made)


if __name__ == "__main__":
    cli.run(main)

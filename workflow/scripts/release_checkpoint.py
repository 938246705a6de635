"""Remove a checkpoint's weights from the Hugging Face cache, if they were downloaded here."""

from lmcortex import cli, provenance, storage
from lmcortex.models import ledger


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", required=True, help="description by fetch_checkpoint")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    checkpoint = storage.read_json(args.checkpoint)
    names = {key: checkpoint[key] for key in ("model", "checkpoint")}
    released = ledger.release(**names)
    made = provenance.record("release_checkpoint", {}, fingerprint=checkpoint["fingerprint"])
    content = {**names, "files": released, "bytes": sum(released.values()), "provenance": made}
    storage.write_json(content, args.output)


if __name__ == "__main__":
    cli.run(main)

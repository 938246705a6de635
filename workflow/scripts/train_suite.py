"""Train a suite of small language models on a text and save their checkpoints."""

from pathlib import Path

from lmcortex import cli, storage, suite


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--text", required=True, help="`pydoc` or a folder of .txt files")
    parser.add_argument("--output", required=True, type=Path, help="the suite's manifest")
    args = parser.parse_args()
    manifest = suite.train_suite(args.spec, args.text, args.output.parent, args.threads)
    storage.write_json(manifest, args.output)


if __name__ == "__main__":
    cli.run(main)

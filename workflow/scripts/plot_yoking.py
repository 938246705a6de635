"""Plot structure yoking over layers, through training."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import style, windows


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--yoking", required=True, help="table yoking")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    figure = windows.yoking(storage.read_table(args.yoking), args.spec)
    style.save(figure, args.output, provenance.record("plot_yoking", args.spec))


if __name__ == "__main__":
    cli.run(main)

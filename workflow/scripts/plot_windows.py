"""Plot the windows of the units of each layer of a model."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import style, windows


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--runs", nargs="+", required=True, help="tables by measure_windows")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    figure = windows.windows([storage.read_table(path) for path in args.runs], args.spec)
    style.save(figure, args.output, provenance.record("plot_windows", args.spec))


if __name__ == "__main__":
    cli.run(main)

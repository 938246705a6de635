"""Plot the parameters of windows over layers, through training."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import style, windows


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--windows", required=True, help="table windows")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    figure = windows.window_fits(storage.read_table(args.windows), args.spec)
    style.save(figure, args.output, provenance.record("plot_window_fits", args.spec))


if __name__ == "__main__":
    cli.run(main)

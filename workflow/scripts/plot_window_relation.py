"""Plot how windows go with the scores of each region."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import style, windows


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--windows-brain", required=True, help="table windows_brain")
    parser.add_argument("--scores", required=True, help="table scores")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    tables = [storage.read_table(path) for path in (args.windows_brain, args.scores)]
    figure = windows.window_relation(*tables, view)
    style.save(figure, args.output, provenance.record("plot_window_relation", args.spec))


if __name__ == "__main__":
    cli.run(main)

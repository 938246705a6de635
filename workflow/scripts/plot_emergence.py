"""Plot left minus right over training, and its gain over untrained twins and baselines."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import emergence, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True, help="table scores")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--lateralization", required=True, help="table lateralization")
    parser.add_argument("--contrasts", required=True, help="table lateralization_contrasts")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    tables = map(storage.read_table, (args.scores, args.lateralization, args.contrasts))
    figure = emergence.emergence(*tables, view)
    style.save(figure, args.output, provenance.record("plot_emergence", args.spec))


if __name__ == "__main__":
    cli.run(main)

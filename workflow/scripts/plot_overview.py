"""Plot every model's nested score beside the baselines and the noise ceiling."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import overview, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--scores", required=True, help="table scores")
    parser.add_argument("--contrasts", required=True, help="table model_contrasts")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    scores = storage.read_table(args.scores)
    contrasts = storage.read_table(args.contrasts)
    figure = overview.overview(scores, contrasts, view)
    style.save(figure, args.output, provenance.record("plot_overview", args.spec))


if __name__ == "__main__":
    cli.run(main)

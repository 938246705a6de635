"""Plot the diversity and the consistency of the organization."""

from lmcortex import cli, provenance, storage
from lmcortex.figures import networks, style


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--organization", required=True, help="table organization")
    parser.add_argument("--quality", required=True, help="table quality")
    parser.add_argument("--output", required=True, help=".svg, or .png for other uses")
    args = parser.parse_args()
    view = style.view_of(args.spec, storage.read_table(args.quality))
    organization = storage.read_table(args.organization)
    figure = networks.organization(organization, view)
    style.save(figure, args.output, provenance.record("plot_organization", args.spec))


if __name__ == "__main__":
    cli.run(main)

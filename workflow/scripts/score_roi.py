"""Score one model's encoders in each ROI and hemisphere, with intervals and p values."""

from contextlib import ExitStack

from lmcortex import cli, provenance, scores, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--fits", required=True, nargs="+", help="all encoding files of the cell")
    parser.add_argument("--ceiling", required=True)
    parser.add_argument("--parcels", help="NIfTI: a labelled image whose regions are ROIs")
    parser.add_argument("--names", help="the table of its regions")
    parser.add_argument("--roi", default=scores.ALL, help="one ROI, or all")
    parser.add_argument("--scores", required=True, help="output")
    parser.add_argument("--draws", required=True, help="output")
    args = parser.parse_args()

    column = args.spec.get("parcels")
    parcels = scores.Parcels(args.parcels, args.names, column) if column else None
    with ExitStack() as files:
        fits = [files.enter_context(storage.open_dataset(path)) for path in args.fits]
        ceiling = storage.read_table(args.ceiling)
        table, draws = scores.score_rois(fits, ceiling, args.spec, args.roi, parcels)
    record = provenance.record("score_roi", args.spec)
    storage.write_table(draws, args.draws, record)
    storage.write_table(table, args.scores, record)


if __name__ == "__main__":
    cli.run(main)

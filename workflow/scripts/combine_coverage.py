"""Make the mask of the voxels that enough runs of all subjects cover."""

from lmcortex import cli, coverage, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--coverage", nargs="+", required=True, help="one image per subject")
    parser.add_argument("--mask", help="the voxels that are considered at all")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    mask = coverage.common_mask(args.coverage, args.spec, args.mask)
    storage.write_image(mask, args.output, provenance.record("combine_coverage", args.spec))


if __name__ == "__main__":
    cli.run(main)

"""Map the nested scores of one model's voxels, and left minus right, as NIfTI images."""

from lmcortex import cli, maps, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--fits", required=True, nargs="+", help="all encoding files of the cell")
    parser.add_argument("--scores", required=True, help="output, .nii.gz")
    parser.add_argument("--sides", required=True, help="output, left minus right, .nii.gz")
    args = parser.parse_args()

    table = maps.nested_scores(args.fits, args.spec["subject"], args.spec["layer_choice"])
    image = maps.as_image(table["r"].to_numpy(), table[maps.AXES].to_numpy())
    record = provenance.record("map_scores", args.spec)
    storage.write_image(maps.left_minus_right(image), args.sides, record)
    storage.write_image(image, args.scores, record)


if __name__ == "__main__":
    cli.run(main)

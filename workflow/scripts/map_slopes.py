"""Regress each voxel's nested score on the size of models: a table, and maps of the slopes."""

from itertools import islice

import pandas as pd

from lmcortex import cli, maps, provenance, storage


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--maps", required=True, help="list of score maps, those of each group")
    parser.add_argument("--output", required=True, help="table of slopes")
    parser.add_argument(
        "--maps-output", required=True, nargs="+", help="one .nii.gz for each group"
    )
    args = parser.parse_args()

    record = provenance.record("map_slopes", args.spec)
    files, tables = iter(cli.listed(args.maps)), []
    for group, path in zip(args.spec["groups"], args.maps_output, strict=True):
        images = [maps.read_image(file) for file in islice(files, len(group["n_params"]))]
        table = maps.slope_table(images, group["n_params"])
        slopes = maps.as_image(table["slope"].to_numpy(), table[maps.AXES].to_numpy())
        storage.write_image(slopes, path, record)
        place = {name: group[name] for name in ("dataset", "fit", "subject")}
        tables.append(pd.DataFrame(place, index=table.index).join(table))
    storage.write_study_table(pd.concat(tables, ignore_index=True), args.output, record)


if __name__ == "__main__":
    cli.run(main)

"""Write the mean subject of Bonnasse-Gahot & Pallier (2024), and its ceilings, as images."""

from pathlib import Path

import numpy as np

from lmcortex import cli, pickled, provenance, storage
from lmcortex.volumes import fill_mask, read_image

TRIALS = 10  # halvings of the subjects; the ceiling is the mean over them


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--arrays", nargs="+", required=True, help="average_subject_run-*.gz")
    parser.add_argument("--samples", nargs="+", type=int, required=True, help="of each run")
    parser.add_argument("--isc", required=True, help="isc_10trials_*.gz")
    parser.add_argument("--mask", required=True, help="the authors' mask of the same language")
    parser.add_argument("--output", required=True, help="folder of run-*.nii.gz, ceiling.nii.gz")
    args = parser.parse_args()
    mask, folder = read_image(args.mask, 3), Path(args.output)
    n_voxels = int((np.asanyarray(mask.dataobj) > 0).sum())
    record = provenance.record("import_average", {"samples": args.samples})
    isc = pickled.read_joblib_array(args.isc, (TRIALS, n_voxels)).mean(axis=0)
    storage.write_image(fill_mask(mask, isc), folder / "ceiling.nii.gz", record)
    for run, (path, samples) in enumerate(zip(args.arrays, args.samples, strict=True), start=1):
        series = pickled.read_joblib_array(path, (samples, n_voxels))
        storage.write_image(fill_mask(mask, series), folder / f"run-{run}.nii.gz", record)


if __name__ == "__main__":
    cli.run(main)

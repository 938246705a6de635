"""Write the ready-made mean subject of Bonnasse-Gahot & Pallier (2024) as images, one per run."""

from pathlib import Path

import numpy as np

from lmcortex import cli, pickled, provenance, storage
from lmcortex.volumes import grid_of, image_on, read_image


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--arrays", nargs="+", required=True, help="average_subject_run-*.gz")
    parser.add_argument("--samples", nargs="+", type=int, required=True, help="of each run")
    parser.add_argument("--mask", required=True, help="the authors' mask of the same language")
    parser.add_argument("--output", required=True, help="folder of run-1.nii.gz, run-2.nii.gz, ...")
    args = parser.parse_args()
    mask = read_image(args.mask, 3)
    brain = np.asanyarray(mask.dataobj) > 0
    record = provenance.record("import_average", {"samples": args.samples})
    for run, (path, samples) in enumerate(zip(args.arrays, args.samples, strict=True), start=1):
        series = pickled.read_joblib_array(path, (samples, int(brain.sum())))
        volumes = np.zeros((*brain.shape, samples), np.float32)
        volumes[brain] = series.T  # voxels in the mask's C order
        image = image_on(grid_of(mask), volumes)
        storage.write_image(image, Path(args.output) / f"run-{run}.nii.gz", record)


if __name__ == "__main__":
    cli.run(main)

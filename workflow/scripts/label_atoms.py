"""Label a checkpoint's atoms by the networks that they drive, against phase-randomised atoms."""

from functools import partial

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from lmcortex import cli, provenance, storage
from lmcortex.networks import atlases, atoms, group, subjects, tables


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", required=True)
    parser.add_argument("--words", required=True)
    parser.add_argument("--atoms", required=True, help="file of learn_atoms")
    parser.add_argument("--maps", nargs="+", required=True, help="files of map_atoms")
    parser.add_argument("--responses", nargs="+", required=True, help="of the subjects of the maps")
    parser.add_argument("--images", nargs="*", default=[], help="labelled images of networks")
    parser.add_argument("--names", nargs="*", default=[], help="the table beside each image")
    parser.add_argument("--atoms-output", required=True, help="table of atoms")
    parser.add_argument("--labels-output", required=True, help="table of labels")
    parser.add_argument("--organization-output", required=True, help="table of their organization")
    parser.add_argument("--output", required=True, help="maps of the group, .nc")
    args = parser.parse_args()
    items, words = storage.read_table(args.items), storage.read_table(args.words)
    sets, learnt = atoms.read_sets(args.atoms), tables.read_learnt(args.atoms)
    maps = xr.concat([storage.read_dataset(path) for path in args.maps], "target")
    read = partial(subjects.read_responses, args.responses, items)
    first = group.first_member(maps)
    places = np.stack([first[axis].to_numpy() for axis in "xyz"], axis=1)
    compared = atlases.find_atlases(
        first["roi"].to_numpy(), places, args.images, args.names, args.spec["networks"]
    )
    runs, rate = items["run"].to_numpy(), subjects.word_rate(items, words)
    with threadpool_limits(args.threads):
        found = group.label_atoms(sets, maps, read, runs, rate, compared, args.spec)
    made = provenance.record("label_atoms", args.spec)
    run = {name: args.spec[name] for name in ("dataset", "model", "checkpoint")}
    for table, path in (
        (tables.atom_table(learnt, found), args.atoms_output),
        (tables.label_table(found), args.labels_output),
        (tables.organization_table(learnt, found), args.organization_output),
    ):
        storage.write_table(table.assign(**run), path, made)
    whole = tables.group_file(learnt, sets[atoms.MAIN], found[atoms.MAIN], maps)
    storage.write_dataset(whole.assign_attrs(run), args.output, made)


if __name__ == "__main__":
    cli.run(main)

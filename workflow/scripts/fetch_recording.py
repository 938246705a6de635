"""Bring files of a dataset from a public archive to this machine, and note where they are."""

from lmcortex import cli, provenance, storage
from lmcortex.archive import Archive, fetch


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", required=True, help="root of the dataset on this machine")
    parser.add_argument("--files", nargs="+", required=True, help="in it; or one pattern with *")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    archive = Archive(args.spec["accession"], args.spec["version"])
    found = fetch(archive, args.folder, args.files, args.spec["count"])
    made = provenance.record("fetch_recording", args.spec)
    storage.write_json({"files": list(map(str, found)), "provenance": made}, args.output)


if __name__ == "__main__":
    cli.run(main)

"""Files between rules: Parquet, NetCDF, safetensors, NIfTI and JSON.

Every file is written to a temporary name and then renamed, so that a job that dies leaves nothing
half-written; every file holds its provenance, and none holds a time stamp, so that the same input
gives the same bytes.
"""

import gzip
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcortex.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from nibabel.nifti1 import Nifti1Image

PROVENANCE_KEY = "lmcortex"
BLOCK = 4096  # bytes; with less than one block free, nothing can be written
Provenance = Mapping[str, Any]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` when the block succeeds.

    Raises
    ------
    InputError : the file cannot be written, because the disk is full for example.
    """
    from safetensors import SafetensorError

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        # Each library words a full disk in its own way, and not all of them name the file.
        full = "No space left" in str(error) or shutil.disk_usage(path.parent).free < BLOCK
        reason = "the disk is full; free some space and run again" if full else error
        raise InputError(f"{path}: cannot be written: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


def read_json(path: str | Path) -> dict[str, Any]:
    return json.loads(Path(path).read_text("utf-8"))


def write_table(table: "pd.DataFrame", path: str | Path, provenance: Provenance) -> None:
    """Write a data frame as Parquet, its provenance in the schema's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), PROVENANCE_KEY.encode(): dumps(provenance)}
    with replacing(path) as temporary:
        pq.write_table(arrow.replace_schema_metadata(metadata), temporary)


def write_study_table(table: "pd.DataFrame", path: str | Path, provenance: Provenance) -> None:
    """Write a table of a study as Parquet, and as CSV beside it for people."""
    with replacing(Path(path).with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False)
    write_table(table, path, provenance)


def read_table(path: str | Path) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_parquet(path)


def write_dataset(dataset: "xr.Dataset", path: str | Path, provenance: Provenance) -> None:
    """Write an xarray dataset as NetCDF, its provenance in a global attribute."""
    dataset = dataset.assign_attrs({PROVENANCE_KEY: dumps(provenance).decode()})
    with replacing(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")


def read_dataset(path: str | Path) -> "xr.Dataset":
    import xarray as xr

    return xr.load_dataset(path, engine="h5netcdf")


def write_image(image: "Nifti1Image", path: str | Path, provenance: Provenance) -> None:
    """Write an image as .nii.gz, its provenance as a comment in the header (an extension)."""
    from nibabel.nifti1 import Nifti1Extension, Nifti1Image

    signed = Nifti1Image(image.dataobj, image.affine, image.header)
    signed.header.extensions.append(Nifti1Extension("comment", dumps(provenance)))
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(signed.to_bytes(), mtime=0))


@contextmanager
def growing_dataset(
    frame: "xr.Dataset", variables: Mapping[str, tuple[tuple[str, ...], str]], path: str | Path
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Write a NetCDF file whose variables are too large to be held at once.

    Parameters
    ----------
    frame : coordinates of all dimensions, and attributes.
    variables : dimensions and dtype by name.

    Yields
    ------
    The variables, to be assigned to slice by slice; and the attributes, to be added to: what the
    file was made with under `provenance`.
    """
    import h5netcdf

    attributes: dict[str, Any] = {}
    with replacing(path) as temporary:
        frame.to_netcdf(temporary, engine="h5netcdf")
        with h5netcdf.File(temporary, "r+") as file:
            for name, (dimensions, dtype) in variables.items():
                file.create_variable(name, dimensions, dtype)
            yield file.variables, attributes
            provenance = attributes.pop("provenance")
            file.attrs.update({**attributes, PROVENANCE_KEY: dumps(provenance).decode()})


@contextmanager
def open_dataset(path: str | Path) -> Iterator["xr.Dataset"]:
    """Open a NetCDF file whose variables are read when, and as far as, they are used."""
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf", cache=False) as dataset:
        yield dataset


def write_arrays(
    arrays: Mapping[str, "np.ndarray"], path: str | Path, provenance: Provenance, **metadata: str
) -> None:
    """Write named arrays as safetensors; `metadata` stands beside the provenance."""
    import numpy as np
    from safetensors.numpy import save_file

    # The library writes memory as it lies, whatever the order of the axes in it.
    ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    header = {**metadata, PROVENANCE_KEY: dumps(provenance).decode()}
    with replacing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # of any new file; the library's only its owner can read
        save_file(ordered, temporary, header)
        temporary.chmod(mode)
        _sort_header(temporary)


def _sort_header(path: Path) -> None:
    """Put a safetensors header in order: the library writes its metadata in a random one."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= length, "the header may be re-ordered, never longer"
        file.seek(8)
        file.write(text.ljust(length))


@contextmanager
def open_arrays(path: str | Path) -> Iterator[Any]:
    """Open a safetensors file: ``keys()``, ``get_tensor(name)`` and ``metadata()``, read lazily."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as arrays:
            yield arrays
    except SafetensorError as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}); delete it and run again"
        ) from error


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Return the provenance that any of the writers above left in `path`."""
    path = Path(path)
    match path.suffix:
        case ".parquet":
            import pyarrow.parquet as pq

            return json.loads((pq.read_schema(path).metadata or {})[PROVENANCE_KEY.encode()])
        case ".nc":
            import h5py  # a tenth of what h5netcdf takes, which looks at every variable

            with h5py.File(path, "r") as file:
                return json.loads(str(file.attrs[PROVENANCE_KEY]))
        case ".safetensors":
            with open_arrays(path) as arrays:
                return json.loads(arrays.metadata()[PROVENANCE_KEY])
        case ".json":
            return read_json(path)["provenance"]
        case ".gz":
            from nibabel import nifti1

            return json.loads(nifti1.load(path).header.extensions[0].get_content())
    raise InputError(f"{path}: no provenance is kept in files of this kind")


def dumps(provenance: Provenance) -> bytes:
    return json.dumps(provenance, sort_keys=True).encode()

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from nibabel.nifti1 import Nifti1Image

from lmcortex import storage
from lmcortex.errors import InputError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_json({"x": 1}, path)
    with pytest.raises(ZeroDivisionError), storage.replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert storage.read_json(path) == {"x": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def write_all(folder: Path) -> list[Path]:
    made = {"stage": "test", "spec": {"b": 1, "a": [1, 2]}}
    storage.write_table(pd.DataFrame({"x": [1.5, 2.5]}), folder / "a.parquet", made)
    dataset = xr.Dataset({"r": ("target", np.arange(3.0))}, {"target": ["a", "b", "ccc"]})
    storage.write_dataset(dataset, folder / "a.nc", made)
    arrays = {"b": np.ones(3, np.float32), "a": np.zeros(2)}
    storage.write_arrays(arrays, folder / "a.safetensors", made, rows="items")
    image = Nifti1Image(np.ones((2, 3, 4), np.float32), np.diag([2.0, 2, 2, 1]))
    storage.write_image(image, folder / "a.nii.gz", made)
    return sorted(folder.iterdir())


def test_arrays_come_back_whatever_the_order_of_their_memory(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    storage.write_arrays({"a": array}, tmp_path / "a.safetensors", {})
    with storage.open_arrays(tmp_path / "a.safetensors") as arrays:
        np.testing.assert_array_equal(arrays.get_tensor("a"), array)


def test_a_file_is_open_to_whom_any_new_file_is(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    modes = {path.name: path.stat().st_mode for path in write_all(tmp_path)}
    assert modes == dict.fromkeys(modes, modes["any"])


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    once = write_all(first)
    time.sleep(1.1)  # a time stamp of whole seconds would show
    for a, b in zip(once, write_all(second), strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name


def test_every_file_holds_its_provenance(tmp_path: Path) -> None:
    for path in write_all(tmp_path):
        assert storage.read_provenance(path)["spec"] == {"b": 1, "a": [1, 2]}


def test_a_truncated_safetensors_file_is_named(tmp_path: Path) -> None:
    write_all(tmp_path)
    path = tmp_path / "a.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    refused = pytest.raises(InputError, match=r"a\.safetensors: not a whole safetensors file")
    with refused, storage.open_arrays(path):
        pass


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB: a mount of its own, which needs root."""
    folder = tmp_path / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("suffix", ["json", "parquet", "nc", "safetensors"])
def test_a_full_disk_is_named_and_nothing_half_written_is_left(
    full_disk: Path, suffix: str
) -> None:
    numbers = np.random.default_rng(0).normal(size=100_000)
    path = full_disk / f"a.{suffix}"
    write = {
        "json": lambda: storage.write_json({"x": numbers.tolist()}, path),
        "parquet": lambda: storage.write_table(pd.DataFrame({"x": numbers}), path, {}),
        "nc": lambda: storage.write_dataset(xr.Dataset({"x": ("t", numbers)}), path, {}),
        "safetensors": lambda: storage.write_arrays({"x": numbers}, path, {}),
    }
    with pytest.raises(InputError, match=rf"a\.{suffix}: cannot be written: the disk is full"):
        write[suffix]()
    assert list(full_disk.iterdir()) == []


def test_two_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": np.arange(1000)})
    writers = [
        threading.Thread(target=storage.write_table, args=(table, tmp_path / f"{i}.parquet", {}))
        for i in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert all(len(storage.read_table(path)) == 1000 for path in tmp_path.iterdir())

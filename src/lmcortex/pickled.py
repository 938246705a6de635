"""Arrays of joblib's gzipped pickles, taken out without running any code of theirs."""

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from lmcortex.errors import InputError

STOP = b"."  # the last byte of a pickle
NAMES = {"float64": b"f8", "float32": b"f4"}
C_ORDER = re.compile(rb"order.{1,3}(X\x01\0\0\0|\x8c\x01)C", re.DOTALL)  # of any protocol


def read_joblib_array(
    path: str | Path, shape: tuple[int, ...], dtype: str = "float64"
) -> np.ndarray:
    """Read the one array of a joblib file.

    joblib writes an array's bytes, little-endian and in C order, just before the STOP of the
    pickle that wraps it. They are taken as they stand; the pickle is not loaded.

    Parameters
    ----------
    path : gzipped file of one array.
    shape, dtype : what it must hold. The wrapper must name this dtype, and be small.

    Raises
    ------
    InputError : another size, dtype or order, or values that are not finite.
    """
    try:
        content = gzip.decompress(Path(path).read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a gzipped file: {error}") from None
    size = math.prod(shape) * np.dtype(dtype).itemsize
    wrapper = len(content) - len(STOP) - size
    head = content[: max(wrapper, 0)]
    named = NAMES[dtype] in head and C_ORDER.search(head)
    if not 0 < wrapper < 1000 or not content.endswith(STOP) or not named:
        raise InputError(
            f"{path}: expected a joblib file of one {dtype} array of shape {shape} in C order, "
            f"{size} bytes and a wrapper, found {len(content)} bytes; is it of this mask and run?"
        )
    values = np.frombuffer(content, np.dtype(dtype).newbyteorder("<"), math.prod(shape), wrapper)
    values = values.reshape(shape)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: its bytes are no finite numbers of type {dtype}")
    return values

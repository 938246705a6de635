"""Random numbers that hang on names: the same on every machine and in any order."""

from hashlib import sha256

import numpy as np


def generator(*key: str | int) -> np.random.Generator:
    """Return a random generator that is seeded by a key, such as ("noise", 1, "sub-01").

    A key always gives the same stream, whatever else was drawn before; two keys give independent
    streams.
    """
    digest = sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))

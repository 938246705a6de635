"""What a job is expected to need, and what it therefore asks for."""

import math
from typing import NamedTuple


class Cost(NamedTuple):
    """What a job is expected to need.

    Attributes
    ----------
    mem_mb : memory of the machine at its peak, MiB.
    seconds : wall time.
    disk_mb : size of the outputs, MiB.
    gpu_mb : memory of the GPU at its peak, MiB; 0 where no GPU is used.
    """

    mem_mb: float
    seconds: float
    disk_mb: float = 0.0
    gpu_mb: float = 0.0


# The formulas were within 25 % of the memory of every job measured; allocators keep some more.
MEMORY_FACTOR = 1.4
# Below this a smaller request starts no sooner.
MEMORY_FLOOR_MB = 600
# On a cluster a job runs inside two Snakemakes, one in the other: 350 MB were measured.
HEADROOM_MB = 400
# Processors and GPUs differ so much from those of `machines`; neighbours on a node take a share.
TIME_FACTOR = 3
TIME_FLOOR_MINUTES = 10
# Two nested Snakemakes, and libraries from a network disk that has not been read yet.
STARTUP_MINUTES = 5


def memory_request(cost: Cost, attempt: int = 1) -> int:
    """Return the MB that a job asks for; each attempt asks for as much again."""
    return math.ceil(attempt * (max(MEMORY_FLOOR_MB, MEMORY_FACTOR * cost.mem_mb) + HEADROOM_MB))


def runtime_request(cost: Cost, attempt: int = 1) -> int:
    """Return the minutes that a job asks for; each attempt asks for as much again."""
    expected = TIME_FACTOR * cost.seconds / 60
    return math.ceil(attempt * (max(TIME_FLOOR_MINUTES, expected) + STARTUP_MINUTES))

"""What a processor, a GPU and the libraries are taken to be."""

from typing import NamedTuple

from lmcortex.plan import Plan

MIB = 2**20
FLOAT, DOUBLE = 4, 8  # bytes
ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}


class Machine(NamedTuple):
    """Operations per second that large matrix products reach, by precision."""

    float32: float
    half: float
    float64: float


# One core, as measured (float64: 40 to 50, float32: 65 to 85 in models). Half precision gains
# nothing without instructions for it.
CORE = Machine(float32=70e9, half=35e9, float64=40e9)
# About half of what NVIDIA states for a V100, TF32 off; an A100 is about twice, an H100 five times
# as fast. Cards for graphics (RTX, A40, L40S) have next to no float64: fits take ten times as long.
GPU = Machine(float32=8e12, half=40e12, float64=4e12)

# Resident memory and seconds after the imports alone.
TABLES_MB, TABLES_S = 180, 2  # pandas, xarray
STATISTICS_MB, STATISTICS_S = 280, 4  # and scipy, matplotlib
RIDGE_MB, RIDGE_S = 200, 4  # and h5netcdf, threadpoolctl
TORCH_MB, TORCH_S = 900, 12  # and transformers
CUDA_MB, CUDA_S = 2000, 15  # the CUDA libraries, in the machine's memory
CONTEXT_MB = 1000  # of the GPU, before the first array


def on_gpu(plan: Plan) -> bool:
    """Tell whether GPU jobs surely run on a GPU: under `auto` they are reckoned as on a core."""
    return plan.site.device == "cuda"


def host_mb(plan: Plan, libraries_mb: float) -> float:
    """Return what a GPU job's libraries take; under `auto` there may be a GPU to load them for."""
    return libraries_mb if plan.site.device == "cpu" else max(libraries_mb, TORCH_MB) + CUDA_MB

"""What the workflow's commands need before their work: imports, and digests of their own code.

To be imported by a process that then forks for every command.
"""

import importlib
import pkgutil
from pathlib import Path

import lmcortex
from lmcortex import provenance

# What modules import only when they need it, so long as it takes a tenth of a second.
LAZY = (
    "h5netcdf",
    "himalaya.kernel_ridge",
    "huggingface_hub",
    "jinja2",
    "matplotlib.pyplot",
    "nilearn.glm.first_level",
    "pandas",
    "pyarrow.parquet",
    "pydoc_data.topics",
    "safetensors.torch",
    "scipy.stats",
    "seaborn",
    "torch",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.gpt_neox.modeling_gpt_neox",
    "xarray",
)
SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"

for name in (*LAZY, *(each.name for each in pkgutil.walk_packages(lmcortex.__path__, "lmcortex."))):
    importlib.import_module(name)
for script in SCRIPTS.glob("*.py"):
    provenance.code_digest(script)  # remembers it

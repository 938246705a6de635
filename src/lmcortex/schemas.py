"""JSON schemas of the configuration files, generated from the classes that check them.

``python -m lmcortex.schemas workflow/schemas`` writes them; editors use them for completion.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lmcortex.config import Fit, Site, Study, Text
from lmcortex.datasets import Dataset
from lmcortex.registry import Model, Suite

KINDS: dict[str, Any] = {
    "config": Site,
    "study": Study,
    "fit": Fit,
    "windows": Text,
    "dataset": Dataset,
    "model": Model,
    "suite": Suite,
}


def schemas() -> dict[str, str]:
    """Return the text of each schema file, by file name."""
    return {
        f"{name}.schema.json": json.dumps(TypeAdapter(kind).json_schema(), indent=2) + "\n"
        for name, kind in KINDS.items()
    }


if __name__ == "__main__":
    for name, text in schemas().items():
        Path(sys.argv[1], name).write_text(text, "utf-8")

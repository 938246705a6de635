"""Fixtures that several test modules share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real recordings; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("LMCORTEX_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set LMCORTEX_DATA")
    return folder


@pytest.fixture(scope="module", autouse=True)
def downloads_allowed() -> Iterator[None]:
    """Let commands download, from a hub on loopback: loading a model forbids it to this process."""
    with pytest.MonkeyPatch.context() as patch:
        for switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            patch.delenv(switch, raising=False)
        yield

import json
from pathlib import Path

import pytest

from lmcortex import provenance

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
STAGES = json.loads(provenance.STAGE_VERSIONS.read_text("utf-8"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_dear_stage_is_reviewed_when_its_code_changes(stage: str) -> None:
    digest = provenance.code_digest(SCRIPTS / f"{stage}.py")
    assert STAGES[stage]["digest"] == digest, (
        f"the code of {stage} changed. If its results change too, raise its version in "
        f"{provenance.STAGE_VERSIONS.name}; then set its digest to {digest}"
    )

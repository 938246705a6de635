"""The examples in the documents are valid configuration, and their links lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from lmcortex.config import Study
from lmcortex.datasets import Dataset
from lmcortex.registry import Model

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")]


def examples(document: str) -> list[dict]:
    text = (ROOT / document).read_text("utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_the_configuration_guide_shows_valid_studies_and_datasets() -> None:
    study, *datasets = examples("config/README.md")
    Study.model_validate(study)
    assert {TypeAdapter(Dataset).validate_python(d).kind for d in datasets} == {
        "sentences",
        "story",
    }


def test_the_model_guide_shows_valid_entries() -> None:
    *families, _ = examples("docs/models.md")
    for content in families:
        for family, entries in content.items():
            for name, entry in entries["models"].items():
                Model.model_validate({"family": family, "name": name, **entry})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_local_link_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []

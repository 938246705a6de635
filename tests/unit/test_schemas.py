from pathlib import Path

import pytest

from lmcortex import paths, schemas

FOLDER = Path(__file__).parents[2] / "workflow" / "schemas"


@pytest.mark.parametrize("name", schemas.schemas())
def test_a_schema_file_is_what_the_classes_say(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == schemas.schemas()[name], "run `make schema`"


def test_names_in_schemas_obey_the_wildcard_constraints() -> None:
    text = schemas.schemas()["study.schema.json"]
    assert f"^({paths.CONSTRAINTS['model']})$" in text

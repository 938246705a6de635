from pathlib import Path

import pandas as pd

from lmcortex import quality, storage


def test_facts_are_gathered_with_their_dataset_and_subject(tmp_path: Path) -> None:
    facts = [{"measure": "items", "value": 3.0, "detail": "run 1"}]
    made = {"spec": {"dataset": "toy"}, "subject": "01", "quality": facts}
    storage.write_table(pd.DataFrame({"x": [1]}), tmp_path / "a.parquet", made)
    found = quality.quality_table([str(tmp_path / "a.parquet")], {"toy": {"33": "all zeros"}})
    rows = found.set_index("measure")
    assert rows.loc["items", ["dataset", "subject", "value"]].tolist() == ["toy", "01", 3.0]
    assert rows.loc["subjects left out", "detail"] == "all zeros"
    assert rows.loc["items", "roi"] == ""

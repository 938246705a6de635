"""What was counted, dropped and measured of the data, gathered from the files that hold it."""

from collections.abc import Iterable, Mapping

import pandas as pd

from lmcortex import storage

COLUMNS = ["dataset", "subject", "target", "roi", "hemisphere", "measure", "value", "detail"]


def quality_table(files: Iterable[str], excluded: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Gather the facts that stages noted about their data.

    Parameters
    ----------
    files : outputs of the stages that look at data: stimuli, responses, ceilings, fits. Each holds
        its facts in its provenance: ``quality``, a list of ``measure`` and ``value`` with, where
        they apply, ``subject``, ``target``, ``roi``, ``hemisphere`` and ``detail``.
    excluded : for each dataset, the subjects that are left out, and why.

    Returns
    -------
    One row per fact; "" where a column does not apply.
    """
    facts = [
        {
            "dataset": dataset,
            "subject": label,
            "measure": "subjects left out",
            "value": 1,
            "detail": reason,
        }
        for dataset, labels in sorted(excluded.items())
        for label, reason in sorted(labels.items())
    ]
    for path in files:
        made = storage.read_provenance(path)
        source = {"dataset": made["spec"]["dataset"], "subject": made.get("subject", "")}
        facts += [{**source, **fact} for fact in made.get("quality", [])]
    table = pd.DataFrame(facts).reindex(columns=COLUMNS)
    labels = [column for column in COLUMNS if column != "value"]
    return table.assign(
        **{label: table[label].astype(object).fillna("").astype(str) for label in labels}
    )

"""Pages of the report: tables that one can sort and filter, and configuration and software.

A page is one HTML file that needs nothing else, so that Snakemake can embed it. The templates lie
in ``workflow/report``.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined

from lmcortex.errors import InputError
from lmcortex.provenance import LIBRARIES

# Snakemake shows a page in a frame, as a data: URL. Chromium opens none beyond 2 MiB, which in
# base64 is a page of 1.5 MiB; the table in it, of at most so many characters, is base64 once more.
MAX_BYTES = 1_450_000
DIGITS = 6  # significant digits of a number in a page; the files of the tables hold all

ABOUT = {
    "scores": "Cross-validated prediction of the brain: Pearson's r of each model, checkpoint, "
    "subject, ROI and hemisphere. Layer -1 is the nested score, for which each outer fold uses the "
    "layer that its inner folds prefer.",
    "scaling": "Least-squares lines of the nested score on the logarithm of model size, and on "
    "perplexity and benchmark scores where known.",
    "scaling_controls": "The laws of size again: over resampled models, over large models alone, "
    "beside layers and width, with an intercept for each family of models, and of single subjects.",
    "lateralization": "Nested scores left and right, their difference, its 95% interval, and how "
    "it grows with model size.",
    "lateralization_contrasts": "Left minus right of each network and checkpoint, less that of its "
    "untrained twin and of every baseline.",
    "model_contrasts": "Differences between the nested scores of two models on the same "
    "resamples: each network against its untrained twin and against every baseline.",
    "training": "How the nested score grows over training: steps at half and at 90% of the gain, "
    "gain after that, and variability between checkpoints.",
    "geometry": "Entropy and curvature of the tokens' states, mean over sentences, of each layer "
    "and checkpoint, in every variant.",
    "modules": "The low- and the high-complexity module of layers at each training step, how many "
    "clusters two criteria choose, and how far modules agree from step to step.",
    "module_nulls": "What random layers and smooth profiles without modules give, beside what was "
    "found, and what is known of the whole course of training.",
    "module_scores": "Mean score of the layers of each module, and low minus high.",
    "geometry_brain": "Partial correlations of entropy and curvature of layers with their scores, "
    "training and depth taken out; p two-sided.",
    "onset_contrasts": "Learning curves of temporal minus those of frontal regions.",
    "claims": "Which claims on training geometry hold on which data, under which variants.",
    "windows": "Integration windows: how a swapped word is felt in the words that follow, medians "
    "over the units of each layer.",
    "yoking": "Structure yoking: whether windows end at the borders of sentences, medians over the "
    "units of each layer.",
    "windows_brain": "Partial correlations of the windows of layers with their scores, training "
    "and depth taken out.",
    "voxel_slopes": "Of each voxel, the least-squares line of the nested score on log10 of model "
    "size, over the last checkpoints of models.",
    "quality": "What was counted, dropped and measured of the stimuli and the responses.",
    "truth_recovery": "Simulated data only: what was planted, and what the analyses recovered.",
    "provenance": "What made each output: settings, code, libraries, machine, time and memory.",
}
HELP = {
    "layer": "0 = embeddings, 1..L = after block l, -1 = nested choice of layer",
    "depth": "layer / number of layers",
    "subject": "a person, `average` (fit to the mean response) or `group` (mean of people's r)",
    "r": "cross-validated Pearson correlation; with a nuisance, its gain over that alone",
    "ci_low": "lower end of the 95% interval",
    "ci_high": "upper end of the 95% interval",
    "r_sd_folds": "standard deviation of r over outer folds",
    "ceiling": "noise ceiling, on the scale of r",
    "r_normalized": "r / ceiling",
    "p": "p value: one-sided of scores, two-sided of slopes and differences",
    "q": "p corrected for the false discovery rate within dataset and fit",
    "alpha_median": "median ridge penalty, in units of trace(K) / n",
    "alpha_at_edge": "share of targets whose penalty is at either end of the grid",
    "selected_share": "share of outer folds that chose this layer",
    "n_targets": "voxels or ROI series averaged",
    "n_params": "number of parameters",
    "step": "training step of the checkpoint",
    "tokens_seen": "training tokens before the checkpoint",
    "role": "trained, untrained, baseline or planted",
    "onset50": "training step at half of the gain",
    "onset90": "training step at 90% of the gain",
    "difference": "left minus right, r",
    "difference_normalized": "left minus right, r / ceiling",
    "slope_ln": "slope per factor e of parameters",
    "coefficient_ln": "coefficient per factor e of parameters",
    "gain": "left minus right, less that of `against`",
    "index": "(left - right) / (left + right)",
    "inside": "whether the interval holds the planted value",
    "wall_s": "wall time of the job, seconds",
    "peak_mb": "peak resident memory of the job, MiB",
}


def table_page(
    table: pd.DataFrame, spec: Mapping[str, Any], template: str, script: str, style: str
) -> str:
    """Write a table as a page that sorts, filters and pages in the browser.

    Parameters
    ----------
    table : any table of a study.
    spec : ``table``, its name; optionally ``where``, values that columns must have ({"layer": -1}),
        and ``simulated``, the datasets that are simulated.
    template, script, style : texts of table.html, table.js and page.css in workflow/report.

    Returns
    -------
    The HTML. Numbers keep 6 significant digits. A page that browsers would not open keeps its first
    rows only, and says so.

    Raises
    ------
    InputError : ``where`` names a column that the table has not.
    """
    name = spec["table"]
    about = [ABOUT.get(name, "")]
    for column, wanted in spec.get("where", {}).items():
        if column not in table:
            raise InputError(f"{name}: no column `{column}`; it has {', '.join(table.columns)}")
        table = table[table[column] == wanted]
        about.append(f"Only rows with {column} = {wanted}.")
    data, kept = fit_in(table, name)
    if kept < len(table):
        about.append(f"Only the first {kept:,} of {len(table):,} rows fit here.")
    about.append(f"The whole table: tables/{name}.csv and .parquet beside this report.")
    shown = set(table["dataset"]) if "dataset" in table else set()
    simulated = sorted(shown & set(spec.get("simulated", [])))
    return render(
        template,
        title=f"Table: {name.replace('_', ' ')}",
        about=" ".join(about),
        simulated=f"SIMULATED DATA: {', '.join(simulated)}" if simulated else "",
        data=data,
        script=script,
        style=style,
    )


def cortex_page(
    inner: str, *, title: str, about: str, simulated: bool, template: str, style: str
) -> str:
    """Write a page around one of nilearn's on which the cortex can be turned.

    Parameters
    ----------
    inner : the HTML of nilearn; it is too long for a frame of the report, and is packed.
    template, style : texts of cortex.html and page.css in workflow/report.
    """
    data = _packed(inner)
    return render(template, title=title, about=about, simulated=simulated, data=data, style=style)


def render(template: str, **values: Any) -> str:
    """Fill a Jinja template; a name that it lacks is an error."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(**values)


def fit_in(table: pd.DataFrame, name: str) -> tuple[str, int]:
    """Pack as many rows of a table as a page can hold; return them and their number."""
    kept = len(table)
    while len(data := pack(table.iloc[:kept], name)) > MAX_BYTES:
        kept = int(0.95 * kept * MAX_BYTES / len(data))
    return data, kept


def pack(table: pd.DataFrame, name: str) -> str:
    """Write a table as JSON, column by column, gzipped (without a time) and in base64."""
    columns = [
        {"name": str(column), "help": HELP.get(str(column), ""), **_column(table[column])}
        for column in table.columns
    ]
    content = {"name": name, "length": len(table), "columns": columns}
    return _packed(json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _column(values: pd.Series) -> dict[str, Any]:
    """Return the values of a column: numbers with null for none, or words and an index of them."""
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        codes, words = pd.factorize(values.map(_word))
        return {"words": words.tolist(), "values": codes.tolist()}
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known = numbers[np.isfinite(numbers)]
    whole = bool((known == np.round(known)).all())
    return {"values": [_number(number, whole) for number in numbers.tolist()]}


def _word(value: Any) -> str:
    return str(value) if np.ndim(value) or not pd.isna(value) else ""


def _number(value: float, whole: bool) -> float | int | None:
    if not np.isfinite(value):
        return None
    return int(value) if whole else float(f"{value:.{DIGITS}g}")


# --- configuration and software -------------------------------------------------------------------


def software_page(
    provenance: pd.DataFrame, spec: Mapping[str, Any], template: str, style: str
) -> str:
    """Write what was asked for, and with what it was computed.

    Parameters
    ----------
    provenance : table `provenance`.
    spec : ``name`` of the study; ``study`` and ``fits``, as configured; ``datasets``, with
        ``title``, ``citation``, ``licence`` and ``simulated`` of each; ``models``, with ``source``
        and ``citation`` of each.
    template, style : texts of software.html and page.css in workflow/report.
    """
    return render(
        template,
        study=spec["name"],
        datasets=spec["datasets"],
        models=_html(models_table(provenance, spec["models"])),
        machine=_html(machine_table(provenance)),
        stages=_html(stages_table(provenance)),
        settings={"Study": _yaml(spec["study"]), "Fits": _yaml(spec["fits"])},
        style=style,
    )


def models_table(provenance: pd.DataFrame, models: Mapping[str, Any]) -> pd.DataFrame:
    """Return what identifies the weights of each model and checkpoint."""
    fetched = provenance[provenance["fingerprint"].notna()]
    made = fetched["path"].str.extract(r"models/(?P<model>[^/]+)/(?P<checkpoint>[^/]+)\.json$")
    table = made.assign(commit=fetched["commit"], fingerprint=fetched["fingerprint"])
    table = table.dropna(subset=["model"])
    about = [models.get(str(model), {}) for model in table["model"]]
    table.insert(2, "source", [entry.get("source") for entry in about])
    table.insert(3, "citation", [entry.get("citation") or None for entry in about])
    return table.sort_values(["model", "checkpoint"])


def machine_table(provenance: pd.DataFrame) -> pd.DataFrame:
    """Return the values that differ between outputs of each fact about machine and libraries."""
    wanted = ["git_commit", *LIBRARIES, "device", "dtype", "tf32", "threads"]
    names = [name for name in wanted if name in provenance]
    found = {name: sorted(map(str, provenance[name].dropna().unique())) for name in names}
    return pd.DataFrame(
        [{"what": name, "found": ", ".join(values)} for name, values in found.items() if values]
    )


def stages_table(provenance: pd.DataFrame) -> pd.DataFrame:
    """Return jobs' outputs, code digest, total time and largest memory of each stage."""
    groups = provenance.groupby("stage", sort=False)
    return pd.DataFrame(
        {
            "stage": list(groups.groups),
            "outputs": groups.size().to_list(),
            "code": [", ".join(sorted(group["code"].unique())) for _, group in groups],
            "wall time (s)": groups["wall_s"].sum(min_count=1).round(1).to_list(),
            "peak memory (MiB)": groups["peak_mb"].max().round(0).to_list(),
        }
    )


def _html(table: pd.DataFrame) -> str:
    return table.to_html(index=False, border=0, na_rep="\u2013", float_format="{:,.6g}".format)


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

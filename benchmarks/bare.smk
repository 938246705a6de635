# The jobs, files and edges of the study that dag.py writes, and nothing else: what planning them
# costs Snakemake itself. plan.json holds paths; tests/workflow/test_dag.py compares the jobs.
import json

with open("plan.json") as file:
    PLAN = json.load(file)
DATA, TABLES, FIGURES, PAGES = (
    PLAN[kind] for kind in ("data", "tables", "figures", "pages")
)
FITS, SCORES, RECORDED = PLAN["fits"], PLAN["scores"], PLAN["recorded"]
STIMULI = [DATA["ITEMS"], DATA["WORDS"]]
SCORED = [TABLES["scores"], TABLES["draws"]]
SHOWN = [TABLES["scores"], TABLES["quality"]]
SIDES = [TABLES["lateralization"], TABLES["lateralization_contrasts"]]
REPORT = "workflow/report"


def fitted_responses(wildcards):
    return DATA["RESPONSES"].format(**wildcards)


def fits_of_cell(wildcards):
    return FITS[f"{wildcards.model}/{wildcards.checkpoint}"]


def fits_of_map(wildcards):
    average = wildcards.subject == "average"
    return [
        file
        for file in fits_of_cell(wildcards)
        if file.endswith("sub-average.nc") == average
    ]


def scores_and_seeds(wildcards):
    cells = [wildcards, *({**wildcards, **seed} for seed in PLAN["seeds"])]
    return [DATA["SCORE_MAP"].format(**cell) for cell in cells]


def shown_maps(wildcards):
    return PLAN["shown"][wildcards.model]


def counted(wildcards):
    return [*PLAN["counted"], *(file for fits in FITS.values() for file in fits)]


def signed(wildcards):
    return [*counted(wildcards), *PLAN["signed"], *SCORES]


RULES = {  # name: (inputs, outputs)
    "prepare_stimuli": (PLAN["texts"], STIMULI),
    "prepare_responses": ([DATA["ITEMS"], *PLAN["recording"]], [DATA["RESPONSES"]]),
    "average_responses": (RECORDED, [DATA["AVERAGE"]]),
    "estimate_ceiling": (RECORDED, [DATA["CEILING"]]),
    "fetch_checkpoint": ([], [DATA["CHECKPOINT"]]),
    "extract_features": ([*STIMULI, DATA["CHECKPOINT"]], [DATA["FEATURES"]]),
    "compute_baseline": (STIMULI, [DATA["BASELINE"]]),
    "fit_encoding": ([*STIMULI, DATA["FEATURES"], fitted_responses], [DATA["FIT"]]),
    "score_roi": ([fits_of_cell, DATA["CEILING"]], [DATA["SCORES"], DATA["DRAWS"]]),
    "collect_scores": (SCORES, SCORED),
    "collect_quality": ([counted], [TABLES["quality"]]),
    "collect_provenance": ([signed], [TABLES["provenance"]]),
    "fit_scaling": (SCORED, [TABLES["scaling"], TABLES["scaling_controls"]]),
    "fit_lateralization": (SCORED, SIDES),
    "contrast_models": (SCORED, [TABLES["model_contrasts"]]),
    "track_training": (SCORED, [TABLES["training"]]),
    "map_scores": ([fits_of_map], [DATA["SCORE_MAP"], DATA["SIDES_MAP"]]),
    "subtract_embedding": ([scores_and_seeds], [DATA["ADDED_MAP"]]),
    "map_slopes": (PLAN["sized"], [TABLES["voxel_slopes"], *PLAN["slopes"]]),
    "plot_maps": ([shown_maps], [FIGURES["maps-{model}"]]),
    "plot_slopes": ([TABLES["voxel_slopes"]], [FIGURES["slopes"]]),
    "write_cortex_page": (
        [*PLAN["turned"], f"{REPORT}/cortex.html", f"{REPORT}/page.css"],
        PLAN["cortex"],
    ),
    "plot_overview": ([*SHOWN, TABLES["model_contrasts"]], [FIGURES["overview"]]),
    "plot_layers": (SHOWN, [FIGURES["layers"]]),
    "plot_heatmap": (SHOWN, [FIGURES["heatmap-{model}"]]),
    "plot_training": ([*SHOWN, TABLES["training"]], [FIGURES["training"]]),
    "plot_scaling": ([*SHOWN, TABLES["scaling"]], [FIGURES["scaling"]]),
    "plot_lateralization": (
        [*SHOWN, TABLES["lateralization"]],
        [FIGURES["lateralization"]],
    ),
    "plot_emergence": ([*SHOWN, *SIDES], [FIGURES["emergence"]]),
    "plot_quality": ([DATA["CEILING"], TABLES["quality"]], [FIGURES["quality"]]),
    "write_table_page": (
        [
            TABLES["{page}"],
            *(f"{REPORT}/{name}" for name in ("table.html", "table.js", "page.css")),
        ],
        [PAGES["{page}"]],
    ),
    "write_software_page": (
        [
            TABLES["provenance"],
            *(f"{REPORT}/{name}" for name in ("software.html", "page.css")),
        ],
        [PAGES["software"]],
    ),
}


wildcard_constraints:
    **PLAN["constraints"],


rule all:
    default_target: True
    input:
        PLAN["all"],


for name, (inputs, outputs) in RULES.items():

    rule:
        name:
            name
        input:
            *inputs,
        output:
            *outputs,
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 60 * attempt,
        params:
            spec=lambda wildcards: str(wildcards),


ruleorder: average_responses > prepare_responses
ruleorder: compute_baseline > extract_features
ruleorder: write_software_page > write_table_page

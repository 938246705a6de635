"""Every path of the workflow, and what a wildcard in one may be.

The patterns are Snakemake's: ``paths.FEATURES.format(dataset="alice", model="gpt2", ...)`` names a
file, and the same string is a rule's output.
"""

RESULTS = "results"

_DATASET = f"{RESULTS}/datasets/{{dataset}}"
_CELL = "{fit}/{model}/{checkpoint}"
_STUDY = f"{RESULTS}/studies/{{study}}"

ITEMS = f"{_DATASET}/stimuli/items.parquet"
WORDS = f"{_DATASET}/stimuli/words.parquet"
TRUTH = f"{_DATASET}/stimuli/truth.safetensors"
RECORDING = f"{_DATASET}/recording/{{part}}.json"
COVERAGE = f"{_DATASET}/coverage/sub-{{subject}}.nii.gz"
MASK = f"{_DATASET}/coverage/mask.nii.gz"
RESPONSES = f"{_DATASET}/responses/sub-{{subject}}.nc"
CEILING = f"{_DATASET}/responses/ceiling.parquet"

CHECKPOINT = f"{RESULTS}/models/{{model}}/{{checkpoint}}.json"
SUITE = f"{RESULTS}/suites/{{suite}}/suite.json"

FEATURES = f"{_DATASET}/features/{{model}}/{{checkpoint}}.safetensors"
GEOMETRY = f"{_DATASET}/geometry/{{model}}/{{checkpoint}}.parquet"
SWAPS = f"{RESULTS}/windows/{{text}}/{{model}}/swaps.parquet"
WINDOWS = f"{RESULTS}/windows/{{text}}/{{model}}/{{checkpoint}}.parquet"
YOKING = f"{RESULTS}/windows/{{text}}/{{model}}/{{checkpoint}}.yoking.parquet"
DIFFERENCES = f"{RESULTS}/windows/{{text}}/{{model}}/{{checkpoint}}.differences.safetensors"
NEURONS = f"{_DATASET}/neurons/{{model}}/{{checkpoint}}.safetensors"
_NETWORKS = f"{_DATASET}/networks/{{model}}/{{checkpoint}}"
ATOMS = f"{_NETWORKS}/atoms.safetensors"
ATOM_MAPS = f"{_NETWORKS}/sub-{{subject}}.nc"
GROUP_MAPS = f"{_NETWORKS}/group.nc"
ATOM_TABLE = f"{_NETWORKS}/atoms.parquet"
LABELS = f"{_NETWORKS}/labels.parquet"
ORGANIZATION = f"{_NETWORKS}/organization.parquet"
FIT = f"{_DATASET}/encoding/{_CELL}/layer-{{layer}}/sub-{{subject}}.nc"
SCORES = f"{_DATASET}/scores/{_CELL}/roi-{{roi}}.parquet"
DRAWS = f"{_DATASET}/scores/{_CELL}/roi-{{roi}}.draws.parquet"

_MAPS = f"{_STUDY}/maps/dataset-{{dataset}}_fit-{{fit}}"
_MAP = f"{_MAPS}_model-{{model}}_checkpoint-{{checkpoint}}_sub-{{subject}}"
SCORE_MAP = f"{_MAP}_r.nii.gz"
SIDES_MAP = f"{_MAP}_left-minus-right.nii.gz"
ADDED_MAP = f"{_MAP}_minus-random-embedding.nii.gz"
SLOPE_MAP = f"{_MAPS}_sub-{{subject}}_slope.nii.gz"

RELEASED = f"{_STUDY}/released/{{model}}/{{checkpoint}}.json"
TABLE = f"{_STUDY}/tables/{{table}}.parquet"
FIT_FIGURE = f"{_STUDY}/figures/{{dataset}}/{{fit}}/{{figure}}.svg"
DATASET_FIGURE = f"{_STUDY}/figures/{{dataset}}/{{figure}}.svg"
WINDOW_FIGURE = f"{_STUDY}/figures/windows/{{text}}/{{figure}}.svg"
FIT_PAGE = f"{_STUDY}/figures/{{dataset}}/{{fit}}/{{figure}}.html"
PAGE = f"{_STUDY}/pages/{{page}}.html"
REPORT = f"{_STUDY}/report.html"


def log(output: str) -> str:
    """Return the log file of the rule that makes `output` (a path or a pattern)."""
    return output.replace(RESULTS, f"{RESULTS}/logs", 1) + ".log"


def benchmark(output: str) -> str:
    """Return the file of wall time and peak memory of the rule that makes `output`."""
    return output.replace(RESULTS, f"{RESULTS}/benchmarks", 1) + ".tsv"


# No slash; "_" and "." occur in the names of published models (stablelm-2-1_6b, opt-1.3b).
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
LABEL = r"[A-Za-z0-9]+"
LAYERS = r"\d{2,3}(-\d{2,3})?"
CHECKPOINT_NAME = r"main|step\d+|seed\d+|untrained-seed\d+"

CONSTRAINTS = {
    "dataset": NAME,
    "text": NAME,
    "fit": NAME,
    "model": NAME,
    "checkpoint": CHECKPOINT_NAME,
    "layer": LAYERS,
    "subject": LABEL,
    "roi": LABEL,
    "part": r"words|sub-[A-Za-z0-9]+",
    "suite": NAME,
    "study": NAME,
    "table": r"[a-z_]+",
    "figure": NAME,
    "page": r"[a-z_]+",
}


def layer_blocks(n_layers: int, layers_per_job: int | None = None) -> list[str]:
    """Name the blocks of layers 0 (embeddings) to `n_layers` that are fitted by one job each."""
    step = layers_per_job or n_layers + 1
    starts = range(0, n_layers + 1, step)
    ends = [min(start + step - 1, n_layers) for start in starts]
    return [
        f"{start:02d}" if start == end else f"{start:02d}-{end:02d}"
        for start, end in zip(starts, ends, strict=True)
    ]

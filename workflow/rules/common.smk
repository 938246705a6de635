# What the rules share: the plan of the study, and short functions of wildcards.
import inspect
import os
import re
import shlex
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from lmcortex import costs, paths, registry, reporting, slurm, specs
from lmcortex.errors import InputError
from lmcortex.plan import Cell, Run, load_plan
from lmcortex.provenance import code_digest, reviewed_version

try:
    PLAN = load_plan(config)
except InputError as error:
    raise WorkflowError(str(error)) from None

SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"
config["about"] = reporting.about(PLAN)  # for the report's captions; no rule reads it


def spec_of(settings):
    """Return a params function: the spec that `settings` gives for a job's wildcards, as JSON."""
    names = list(inspect.signature(settings).parameters)[1:]

    @cache  # most jobs share theirs with many
    def dumps(*values):
        return specs.dumps(settings(PLAN, *values))

    return lambda wildcards: dumps(*(wildcards[name] for name in names))


def code_of(script):
    """Return a params function: the digest of a command's code, so that an edit re-runs its jobs."""
    path = SCRIPTS / f"{script}.py"
    return lambda wildcards: code_digest(path)


def version_of(script):
    """Return the reviewed version of a stage whose re-run costs too much for a digest."""
    return reviewed_version(script)


def resource_of(request, cost):
    """Return a resource function: what a job asks for, of what it is expected to cost."""
    names = costs.arguments(cost)
    expected = cache(lambda *values: cost(PLAN, *values))

    def resource(wildcards, attempt):
        return request(expected(*(wildcards[name] for name in names)), attempt)

    return resource


def memory_of(cost):
    return resource_of(costs.memory_request, cost)


def runtime_of(cost):
    return resource_of(costs.runtime_request, cost)


def add_site_resources(rules):
    """Have every job charged to the site's account, and GPU jobs ask for its kind of GPU."""
    for each in rules:
        if PLAN.site.account:
            each.resources.setdefault("slurm_account", PLAN.site.account)
        if PLAN.site.gpu_model and "gpu" in each.resources:
            each.resources.setdefault("gpu_model", PLAN.site.gpu_model)


def refuse_left_jobs():
    """Refuse to start beside the jobs of a run that was killed: each would be submitted again."""
    if left := slurm.jobs_of(os.getcwd()):
        raise WorkflowError(
            f"Slurm still has jobs of an earlier run here: {', '.join(left)}. Let them end, or "
            "`scancel` them, and start again."
        )


def options(wildcards, input):
    """Write the inputs that a dataset or model may lack as options: `--text a.txt b.txt`."""
    optional = {
        name: files for name, files in input.items() if not name.endswith("_table")
    }
    return " ".join(
        f"--{name} {shell_words(files)}" for name, files in optional.items()
    )


def shell_words(files):
    return shlex.join([files] if isinstance(files, str) else files)


def later(files, *arguments):
    """Return an input function: a long list of the study's files, made only for the job it is of.

    A job on a cluster reads these rules anew and should not pay for what it does not need.
    """
    return lambda wildcards: files(*arguments)


def stimulus_files(wildcards):
    return PLAN.stimulus_files(wildcards.dataset)


def recording_files(wildcards):
    return PLAN.recording_files(wildcards.dataset, wildcards.subject)


def series_files(wildcards):
    return PLAN.series_files(wildcards.dataset, wildcards.subject)


def coverage_inputs(wildcards):
    """Return what each subject's runs cover, and the mask that the dataset names, if any."""
    found = PLAN.imaged(wildcards.dataset)
    place = {"dataset": wildcards.dataset}
    covered = [
        paths.COVERAGE.format(subject=label, **place) for label in found.subjects
    ]
    return {"coverage": covered, **({"mask": found.mask} if found.mask else {})}


def archive_options(wildcards):
    """Write what is fetched from an archive as options; a pattern stays one."""
    found, archive = PLAN.archived(wildcards.dataset)
    files = shell_words(found.archived_files(wildcards.part))
    return f"--folder {shell_words(archive.folder)} --files {files}"


def recorded_subjects(wildcards):
    labels = PLAN.datasets[wildcards.dataset].subjects
    return [PLAN.response_files(wildcards.dataset, label)[0] for label in labels]


def ceiling_inputs(wildcards):
    """Return the responses of all subjects, and the image of published ceilings, if any."""
    published = PLAN.datasets[wildcards.dataset].ceiling_files()
    return {"responses": recorded_subjects(wildcards), **published}


def single_subjects(wildcards):
    labels = PLAN.datasets[wildcards.dataset].single_subjects()
    return [PLAN.response_files(wildcards.dataset, label)[0] for label in labels]


def fitted_responses(wildcards):
    return PLAN.response_files(wildcards.dataset, wildcards.subject)


def fitted(wildcards):
    """Return what a fit reads beside the stimulus: responses, and features known already."""
    return {
        "responses": PLAN.response_files(wildcards.dataset, wildcards.subject),
        "nuisance": PLAN.nuisance_files(wildcards.dataset, wildcards.fit),
    }


def suite_manifest(wildcards):
    suite = PLAN.model(wildcards.model).suite
    return {"suite": paths.SUITE.format(suite=suite)} if suite else {}


def suite_texts(wildcards):
    return PLAN.suite_texts(wildcards.suite)


def suite_text(wildcards, input):
    """Return the folder of a suite's text files, or `pydoc`, which needs none."""
    return str(Path(input[0]).parent) if input else "pydoc"


def planted_states(wildcards):
    return PLAN.planted_states(wildcards.dataset)


def baseline_files(wildcards):
    """Return what a pseudo-model needs beside the stimuli: what was planted, or word vectors."""
    if registry.PLANTED.fullmatch(wildcards.model):
        return {"truth": paths.TRUTH.format(dataset=wildcards.dataset)}
    return {"vectors": PLAN.word_vectors} if wildcards.model == "glove" else {}


def network_truth(wildcards):
    return PLAN.network_truth()


def gpu_outputs(wildcards):
    return PLAN.gpu_outputs(Run(wildcards.model, wildcards.checkpoint))


def waiting_models(wildcards):
    """Return how many models can do nothing with their weights before a checkpoint is here."""
    return len(PLAN.waiting_models(Run(wildcards.model, wildcards.checkpoint)))


def swap_inputs(wildcards):
    """Return what chooses a model's swaps: a text, its last checkpoint, perhaps a masked model."""
    files = PLAN.text_files(wildcards.text)
    sources = PLAN.swap_sources(wildcards.text, wildcards.model)
    described = {
        name: paths.CHECKPOINT.format(**run._asdict()) for name, run in sources.items()
    }
    return {**({"files": files} if files else {}), **described}


def shown_windows(pattern):
    """Return an input function: a model's files that are drawn, its last checkpoint first."""

    def files(wildcards):
        shown = PLAN.shown_windows(wildcards.model)
        place = {"text": wildcards.text, "model": wildcards.model}
        return [pattern.format(checkpoint=name, **place) for name in shown]

    return files


def atom_maps(wildcards):
    return PLAN.map_files(wildcards.dataset, Run(wildcards.model, wildcards.checkpoint))


def labelled_images(wildcards):
    return PLAN.datasets[wildcards.dataset].network_files()


def last_group_maps(wildcards):
    return PLAN.last_group_maps(wildcards.dataset, getattr(wildcards, "model", None))


def parcel_files(wildcards):
    return PLAN.datasets[wildcards.dataset].parcel_files()


def cell_fits(wildcards):
    try:
        PLAN.check_asked(wildcards.dataset, wildcards.fit, wildcards.roi)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    cell = (wildcards.dataset, wildcards.fit, wildcards.model, wildcards.checkpoint)
    return PLAN.fit_files(Cell(*cell))


def mapped_fits(wildcards):
    """Return the fits of a map: of all subjects, or where each has its own files, of those meant."""
    cell = Cell(wildcards.dataset, wildcards.fit, wildcards.model, wildcards.checkpoint)
    return PLAN.fit_files(cell, wildcards.subject)


def embedding_maps(wildcards):
    cell = (wildcards.dataset, wildcards.fit, wildcards.model, wildcards.checkpoint)
    return PLAN.embedding_maps(Cell(*cell), wildcards.subject)


def shown_maps(wildcards):
    return reporting.map_inputs(PLAN, wildcards.dataset, wildcards.fit, wildcards.model)


def cortex_map(wildcards):
    model = reporting.mapped_runs(PLAN, wildcards.dataset)[-1].model
    return reporting.map_inputs(PLAN, wildcards.dataset, wildcards.fit, model)["scores"]


def fit_figure(name):
    return paths.FIT_FIGURE.replace("{study}", PLAN.name).replace("{figure}", name)


def dataset_figure(name):
    return paths.DATASET_FIGURE.replace("{study}", PLAN.name).replace("{figure}", name)


def window_figure(name):
    return paths.WINDOW_FIGURE.replace("{study}", PLAN.name).replace("{figure}", name)


def page(name):
    return paths.PAGE.replace("{study}", PLAN.name).replace("{page}", name)


def one_of(names):
    """Return a wildcard constraint that allows just these names, and nothing when there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def table(name):
    return PLAN.table(name)


RELEASED = paths.RELEASED.replace("{study}", PLAN.name)
SIMULATED = one_of(PLAN.simulated_datasets())
AVERAGED = one_of(PLAN.averaged_datasets())

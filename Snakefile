# lmcortex: how language models align with the human brain.
#   snakemake --cores 2                              the embedded demo
#   snakemake --cores 8 --config study=alice         a study of config/studies
#   snakemake --profile slurm --config study=alice   the same on a cluster
from snakemake.utils import min_version

min_version("9.20")


configfile: "config/config.yaml"


container: "envs/lmcortex.sif"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


wildcard_constraints:
    **paths.CONSTRAINTS,


include: "workflow/rules/downloads.smk"
include: "workflow/rules/stimuli.smk"
include: "workflow/rules/responses.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/encoding.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/geometry.smk"
include: "workflow/rules/windows.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/maps.smk"
include: "workflow/rules/report.smk"


onstart:
    refuse_left_jobs()


localrules:
    all,
    features,
    fits,
    scores,


rule all:
    default_target: True
    input:
        PLAN.tables(),
        later(reporting.figures, PLAN),
        later(reporting.pages, PLAN),
        later(PLAN.releases),


rule features:
    input:
        later(PLAN.all_features),
        later(PLAN.releases),


rule fits:
    input:
        later(PLAN.all_fits),
        later(PLAN.releases),


rule scores:
    input:
        PLAN.table("scores"),
        later(PLAN.releases),


add_site_resources(workflow.rules)

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


include: "workflow/rules/stimuli.smk"
include: "workflow/rules/responses.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/encoding.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    features,
    fits,
    scores,


rule all:
    default_target: True
    input:
        PLAN.tables(),
        reporting.figures(PLAN),
        reporting.pages(PLAN),


rule features:
    input:
        PLAN.all_features(),


rule fits:
    input:
        PLAN.all_fits(),


rule scores:
    input:
        PLAN.table("scores"),

# Checkpoints: found once and fingerprinted, or trained here. Weights stay outside the workflow.
localrules:
    fetch_checkpoint,
    release_checkpoint,


# One download after the other, and none holds a core: it may be waiting for room on the disk, until
# jobs that need those cores are done. Not in a profile, where any `--resources` would replace it.
workflow.register_resource("fetching", 1)


# With fetch_recording the only rule that goes online.
rule fetch_checkpoint:
    input:
        unpack(suite_manifest),
    output:
        paths.CHECKPOINT,
    log:
        paths.log(paths.CHECKPOINT),
    benchmark:
        paths.benchmark(paths.CHECKPOINT)
    # Where room is scarce, those come first for whom others would hold their room in vain.
    priority: waiting_models
    # It tries again by itself.
    retries: 0
    threads: 0
    resources:
        fetching=1,
        budget_gb=str(PLAN.site.weights_budget_gb or "inf"),
        wait_hours=str(PLAN.site.weights_wait_hours),
        mem_mb=memory_of(costs.fetch_checkpoint),
        runtime=runtime_of(costs.fetch_checkpoint),
    params:
        spec=spec_of(specs.fetch_checkpoint),
        version=version_of("fetch_checkpoint"),
        suite=options,
    shell:
        "python workflow/scripts/fetch_checkpoint.py --model {wildcards.model}"
        " --checkpoint {wildcards.checkpoint} {params.suite} --spec {params.spec:q}"
        " --budget-gb {resources.budget_gb} --wait-hours {resources.wait_hours}"
        " --output {output} 2> >(tee {log} >&2)"


# Asked for where the site sets a budget; the weights' last job is done.
rule release_checkpoint:
    input:
        gpu_outputs,
        description=paths.CHECKPOINT,
    output:
        RELEASED,
    log:
        paths.log(RELEASED),
    benchmark:
        paths.benchmark(RELEASED)
    threads: 1
    resources:
        mem_mb=memory_of(costs.small),
        runtime=runtime_of(costs.small),
    shell:
        "python workflow/scripts/release_checkpoint.py --checkpoint {input.description} --output {output}"
        " 2> >(tee {log} >&2)"


rule train_suite:
    input:
        suite_texts,
    output:
        paths.SUITE,
    log:
        paths.log(paths.SUITE),
    benchmark:
        paths.benchmark(paths.SUITE)
    threads: 2
    resources:
        mem_mb=memory_of(costs.train_suite),
        runtime=runtime_of(costs.train_suite),
    params:
        spec=spec_of(specs.train_suite),
        version=version_of("train_suite"),
        text=suite_text,
    shell:
        "python workflow/scripts/train_suite.py --spec {params.spec:q} --threads {threads}"
        " --text {params.text:q} --output {output} 2> >(tee {log} >&2)"

# Checkpoints: found once and fingerprinted, or trained here. Weights stay outside the workflow.
localrules:
    fetch_checkpoint,


# The only rule that goes online.
rule fetch_checkpoint:
    input:
        unpack(suite_manifest),
    output:
        paths.CHECKPOINT,
    log:
        paths.log(paths.CHECKPOINT),
    benchmark:
        paths.benchmark(paths.CHECKPOINT)
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(240),
    params:
        spec=spec_of(specs.fetch_checkpoint),
        code=code_of("fetch_checkpoint"),
        suite=options,
    shell:
        "python workflow/scripts/fetch_checkpoint.py --model {wildcards.model}"
        " --checkpoint {wildcards.checkpoint} {params.suite} --spec {params.spec:q}"
        " --output {output} 2> >(tee {log} >&2)"


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
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        spec=spec_of(specs.train_suite),
        version=version_of("train_suite"),
        text=suite_text,
    shell:
        "python workflow/scripts/train_suite.py --spec {params.spec:q} --threads {threads}"
        " --text {params.text:q} --output {output} 2> >(tee {log} >&2)"

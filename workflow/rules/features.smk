# What a model, or a baseline, says about every item: its hidden states at every layer.
ruleorder: compute_baseline > extract_features


rule extract_features:
    input:
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
        checkpoint=paths.CHECKPOINT,
    output:
        paths.FEATURES,
    log:
        paths.log(paths.FEATURES),
    benchmark:
        paths.benchmark(paths.FEATURES)
    threads: 1
    resources:
        mem_mb=memory_of(costs.extract_features),
        runtime=runtime_of(costs.extract_features),
        gpu=1,
        device=PLAN.site.device,
    params:
        spec=spec_of(specs.extract_features),
        version=version_of("extract_features"),
    shell:
        "python workflow/scripts/extract_features.py --items {input.item_table} --words {input.word_table}"
        " --checkpoint {input.checkpoint} --spec {params.spec:q} --threads {threads}"
        " --device {resources.device} --output {output} 2> >(tee {log} >&2)"


rule compute_baseline:
    input:
        unpack(baseline_files),
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
    output:
        paths.FEATURES,
    log:
        paths.log(paths.FEATURES),
    benchmark:
        paths.benchmark(paths.FEATURES)
    wildcard_constraints:
        model=registry.PSEUDO_NAME,
    resources:
        mem_mb=memory_of(costs.compute_baseline),
        runtime=runtime_of(costs.compute_baseline),
    params:
        spec=spec_of(specs.compute_baseline),
        code=code_of("compute_baseline"),
        files=options,
    shell:
        "python workflow/scripts/compute_baseline.py --items {input.item_table} --words {input.word_table}"
        " {params.files} --spec {params.spec:q} --output {output} 2> {log}"

# The study's tables: the master table of scores, and what follows from it. Where a command reads
# every file of the study, it is given a list of them: a command line has no room for so many.
localrules:
    collect_scores,
    fit_scaling,
    fit_lateralization,
    contrast_models,
    track_training,
    collect_quality,
    recover_truth,
    collect_provenance,


rule collect_scores:
    input:
        scores=later(PLAN.all_scores),
        draws=later(PLAN.all_scores, paths.DRAWS),
    output:
        scores=table("scores"),
        draws=table("draws"),
    log:
        paths.log(table("scores")),
    benchmark:
        paths.benchmark(table("scores"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.collect_scores),
        runtime=runtime_of(costs.collect_scores),
    params:
        spec=spec_of(specs.collect_scores),
        code=code_of("collect_scores"),
    shell:
        "python workflow/scripts/collect_scores.py --scores <(printf '%s\\n' {input.scores:q})"
        " --draws <(printf '%s\\n' {input.draws:q}) --spec {params.spec:q} --output {output.scores} --draws-output {output.draws} 2> {log}"


rule fit_scaling:
    input:
        scores=table("scores"),
        draws=table("draws"),
    output:
        scaling=table("scaling"),
        controls=table("scaling_controls"),
    log:
        paths.log(table("scaling")),
    benchmark:
        paths.benchmark(table("scaling"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        code=code_of("fit_scaling"),
    shell:
        "python workflow/scripts/fit_scaling.py --scores {input.scores} --draws {input.draws}"
        " --output {output.scaling} --controls-output {output.controls} 2> {log}"


rule fit_lateralization:
    input:
        scores=table("scores"),
        draws=table("draws"),
    output:
        lateralization=table("lateralization"),
        contrasts=table("lateralization_contrasts"),
    log:
        paths.log(table("lateralization")),
    benchmark:
        paths.benchmark(table("lateralization"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        code=code_of("fit_lateralization"),
    shell:
        "python workflow/scripts/fit_lateralization.py --scores {input.scores} --draws {input.draws}"
        " --output {output.lateralization} --contrasts-output {output.contrasts} 2> {log}"


rule contrast_models:
    input:
        scores=table("scores"),
        draws=table("draws"),
    output:
        table("model_contrasts"),
    log:
        paths.log(table("model_contrasts")),
    benchmark:
        paths.benchmark(table("model_contrasts"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(specs.contrast_models),
        code=code_of("contrast_models"),
    shell:
        "python workflow/scripts/contrast_models.py --scores {input.scores} --draws {input.draws}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule track_training:
    input:
        scores=table("scores"),
        draws=table("draws"),
    output:
        table("training"),
    log:
        paths.log(table("training")),
    benchmark:
        paths.benchmark(table("training"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        code=code_of("track_training"),
    shell:
        "python workflow/scripts/track_training.py --scores {input.scores} --draws {input.draws}"
        " --output {output} 2> {log}"


rule collect_quality:
    input:
        later(PLAN.quality_files),
    output:
        table("quality"),
    log:
        paths.log(table("quality")),
    benchmark:
        paths.benchmark(table("quality"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.open_outputs),
        runtime=runtime_of(costs.open_outputs),
    params:
        spec=spec_of(specs.collect_quality),
        code=code_of("collect_quality"),
    shell:
        "python workflow/scripts/collect_quality.py --files <(printf '%s\\n' {input:q})"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule recover_truth:
    input:
        unpack(network_truth),
        scores=table("scores"),
        scaling=table("scaling"),
        lateralization=table("lateralization"),
        training=table("training"),
    output:
        table("truth_recovery"),
    log:
        paths.log(table("truth_recovery")),
    benchmark:
        paths.benchmark(table("truth_recovery"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(specs.recover_truth),
        code=code_of("recover_truth"),
        files=options,
    shell:
        "python workflow/scripts/recover_truth.py {params.files} --spec {params.spec:q}"
        " --output {output} 2> {log}"


rule collect_provenance:
    input:
        later(PLAN.signed_files),
    output:
        table("provenance"),
    log:
        paths.log(table("provenance")),
    benchmark:
        paths.benchmark(table("provenance"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.open_outputs),
        runtime=runtime_of(costs.open_outputs),
    params:
        code=code_of("collect_provenance"),
    shell:
        "python workflow/scripts/collect_provenance.py --files <(printf '%s\\n' {input:q})"
        " --output {output} 2> {log}"

# The shape of sentences in a model's layers, and what it has to do with the brain.
localrules:
    collect_geometry,
    contrast_onsets,
    judge_claims,


# Sentences were read for the features, and what geometry needs of them was kept with these.
rule measure_geometry:
    input:
        paths.FEATURES,
    output:
        paths.GEOMETRY,
    log:
        paths.log(paths.GEOMETRY),
    benchmark:
        paths.benchmark(paths.GEOMETRY)
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_of("sentences")),
    threads: 1
    resources:
        mem_mb=memory_of(costs.measure_geometry),
        runtime=runtime_of(costs.measure_geometry),
    params:
        spec=spec_of(specs.measure_geometry),
        code=code_of("measure_geometry"),
    shell:
        "python workflow/scripts/measure_geometry.py --features {input} --spec {params.spec:q}"
        " --threads {threads} --output {output} 2> {log}"


# A story is read in passages, not with all that came before as for its features.
rule measure_passages:
    input:
        word_table=paths.WORDS,
        checkpoint=paths.CHECKPOINT,
    output:
        paths.GEOMETRY,
    log:
        paths.log(paths.GEOMETRY),
    benchmark:
        paths.benchmark(paths.GEOMETRY)
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_of("story")),
    threads: 1
    resources:
        mem_mb=memory_of(costs.measure_passages),
        runtime=runtime_of(costs.measure_passages),
        gpu=1,
        device=PLAN.site.device,
    params:
        spec=spec_of(specs.measure_passages),
        version=version_of("measure_passages"),
    shell:
        "python workflow/scripts/measure_passages.py --words {input.word_table}"
        " --checkpoint {input.checkpoint} --spec {params.spec:q} --threads {threads}"
        " --device {resources.device} --output {output} 2> >(tee {log} >&2)"


rule collect_geometry:
    input:
        later(PLAN.geometry_files),
    output:
        table("geometry"),
    log:
        paths.log(table("geometry")),
    benchmark:
        paths.benchmark(table("geometry"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.collect_geometry),
        runtime=runtime_of(costs.collect_geometry),
    params:
        spec=spec_of(specs.collect_geometry),
        code=code_of("collect_geometry"),
    shell:
        "python workflow/scripts/collect_geometry.py --files <(printf '%s\\n' {input:q})"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule cluster_layers:
    input:
        geometry=table("geometry"),
        runs=later(PLAN.geometry_files),
    output:
        modules=table("modules"),
        nulls=table("module_nulls"),
    log:
        paths.log(table("modules")),
    benchmark:
        paths.benchmark(table("modules"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.cluster_layers),
        runtime=runtime_of(costs.cluster_layers),
    params:
        spec=spec_of(specs.geometry_statistics),
        code=code_of("cluster_layers"),
    shell:
        "python workflow/scripts/cluster_layers.py --geometry {input.geometry} --files <(printf '%s\\n' {input.runs:q})"
        " --spec {params.spec:q} --threads {threads} --output {output.modules} --nulls-output {output.nulls} 2> {log}"


rule score_modules:
    input:
        scores=table("scores"),
        draws=later(PLAN.network_draws),
        modules=table("modules"),
    output:
        table("module_scores"),
    log:
        paths.log(table("module_scores")),
    benchmark:
        paths.benchmark(table("module_scores"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.score_modules),
        runtime=runtime_of(costs.score_modules),
    params:
        spec=spec_of(specs.score_modules),
        code=code_of("score_modules"),
    shell:
        "python workflow/scripts/score_modules.py --scores {input.scores} --modules {input.modules}"
        " --draws <(printf '%s\\n' {input.draws:q}) --spec {params.spec:q} --output {output} 2> {log}"


rule relate_geometry:
    input:
        scores=table("scores"),
        geometry=table("geometry"),
    output:
        table("geometry_brain"),
    log:
        paths.log(table("geometry_brain")),
    benchmark:
        paths.benchmark(table("geometry_brain"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.relate_geometry),
        runtime=runtime_of(costs.relate_geometry),
    params:
        spec=spec_of(specs.geometry_statistics),
        code=code_of("relate_geometry"),
    shell:
        "python workflow/scripts/relate_geometry.py --scores {input.scores} --geometry {input.geometry}"
        " --spec {params.spec:q} --threads {threads} --output {output} 2> {log}"


rule contrast_onsets:
    input:
        scores=table("scores"),
        draws=table("draws"),
    output:
        table("onset_contrasts"),
    log:
        paths.log(table("onset_contrasts")),
    benchmark:
        paths.benchmark(table("onset_contrasts"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.small),
        runtime=runtime_of(costs.small),
    params:
        spec=spec_of(specs.contrast_onsets),
        code=code_of("contrast_onsets"),
    shell:
        "python workflow/scripts/contrast_onsets.py --scores {input.scores} --draws {input.draws}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule judge_claims:
    input:
        module_nulls=table("module_nulls"),
        module_scores=table("module_scores"),
        geometry_brain=table("geometry_brain"),
        onset_contrasts=table("onset_contrasts"),
    output:
        table("claims"),
    log:
        paths.log(table("claims")),
    benchmark:
        paths.benchmark(table("claims"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.small),
        runtime=runtime_of(costs.small),
    params:
        code=code_of("judge_claims"),
    shell:
        "python workflow/scripts/judge_claims.py --module-nulls {input.module_nulls}"
        " --module-scores {input.module_scores} --geometry-brain {input.geometry_brain}"
        " --onset-contrasts {input.onset_contrasts} --output {output} 2> {log}"


rule plot_geometry:
    input:
        geometry=table("geometry"),
        quality=table("quality"),
    output:
        report(
            dataset_figure("geometry"),
            caption="../report/geometry.rst",
            category="5 Geometry",
            labels={"dataset": "{dataset}", "figure": "geometry"},
        ),
    log:
        paths.log(dataset_figure("geometry")),
    benchmark:
        paths.benchmark(dataset_figure("geometry"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.dataset_view),
        code=code_of("plot_geometry"),
    shell:
        "python workflow/scripts/plot_geometry.py --geometry {input.geometry} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_modules:
    input:
        geometry=table("geometry"),
        modules=table("modules"),
        nulls=table("module_nulls"),
        quality=table("quality"),
    output:
        report(
            dataset_figure("modules"),
            caption="../report/modules.rst",
            category="5 Geometry",
            labels={"dataset": "{dataset}", "figure": "modules"},
        ),
    log:
        paths.log(dataset_figure("modules")),
    benchmark:
        paths.benchmark(dataset_figure("modules"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.dataset_view),
        code=code_of("plot_modules"),
    shell:
        "python workflow/scripts/plot_modules.py --geometry {input.geometry} --modules {input.modules}"
        " --nulls {input.nulls} --quality {input.quality} --spec {params.spec:q} --output {output} 2> {log}"


rule plot_module_scores:
    input:
        module_scores=table("module_scores"),
        scores=table("scores"),
        quality=table("quality"),
    output:
        report(
            fit_figure("module-scores"),
            caption="../report/module-scores.rst",
            category="5 Geometry",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "module scores"},
        ),
    log:
        paths.log(fit_figure("module-scores")),
    benchmark:
        paths.benchmark(fit_figure("module-scores"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_module_scores"),
    shell:
        "python workflow/scripts/plot_module_scores.py --module-scores {input.module_scores} --scores {input.scores} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_onsets:
    input:
        onset_contrasts=table("onset_contrasts"),
        training=table("training"),
        scores=table("scores"),
        quality=table("quality"),
    output:
        report(
            fit_figure("onsets"),
            caption="../report/onsets.rst",
            category="5 Geometry",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "onsets"},
        ),
    log:
        paths.log(fit_figure("onsets")),
    benchmark:
        paths.benchmark(fit_figure("onsets"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_onsets"),
    shell:
        "python workflow/scripts/plot_onsets.py --onset-contrasts {input.onset_contrasts} --training {input.training} --scores {input.scores} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_relation:
    input:
        geometry_brain=table("geometry_brain"),
        scores=table("scores"),
        quality=table("quality"),
    output:
        report(
            fit_figure("relation"),
            caption="../report/relation.rst",
            category="5 Geometry",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "relation"},
        ),
    log:
        paths.log(fit_figure("relation")),
    benchmark:
        paths.benchmark(fit_figure("relation"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_relation"),
    shell:
        "python workflow/scripts/plot_relation.py --geometry-brain {input.geometry_brain} --scores {input.scores} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_variants:
    input:
        geometry_brain=table("geometry_brain"),
        scores=table("scores"),
        quality=table("quality"),
    output:
        report(
            fit_figure("variants"),
            caption="../report/variants.rst",
            category="5 Geometry",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "variants"},
        ),
    log:
        paths.log(fit_figure("variants")),
    benchmark:
        paths.benchmark(fit_figure("variants"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_variants"),
    shell:
        "python workflow/scripts/plot_variants.py --geometry-brain {input.geometry_brain} --scores {input.scores} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"

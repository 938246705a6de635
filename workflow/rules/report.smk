# Figures and pages of the study, and how they are filed in its report.
localrules:
    plot_overview,
    plot_quality,
    plot_layers,
    plot_heatmap,
    plot_training,
    plot_scaling,
    plot_lateralization,
    plot_emergence,
    plot_recovery,
    write_table_page,
    write_software_page,


rule plot_overview:
    input:
        scores=table("scores"),
        contrasts=table("model_contrasts"),
        quality=table("quality"),
    output:
        report(
            fit_figure("overview"),
            caption="../report/overview.rst",
            category="1 Overview",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "overview"},
        ),
    log:
        paths.log(fit_figure("overview")),
    benchmark:
        paths.benchmark(fit_figure("overview"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_overview"),
    shell:
        "python workflow/scripts/plot_overview.py --scores {input.scores} --contrasts {input.contrasts}"
        " --quality {input.quality} --spec {params.spec:q} --output {output} 2> {log}"


rule plot_layers:
    input:
        scores=table("scores"),
        quality=table("quality"),
    output:
        report(
            fit_figure("layers"),
            caption="../report/layers.rst",
            category="3 Layers",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "by depth"},
        ),
    log:
        paths.log(fit_figure("layers")),
    benchmark:
        paths.benchmark(fit_figure("layers"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_layers"),
    shell:
        "python workflow/scripts/plot_layers.py --scores {input.scores} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_heatmap:
    input:
        scores=table("scores"),
        quality=table("quality"),
    output:
        report(
            fit_figure("heatmap-{model}"),
            caption="../report/heatmap.rst",
            category="3 Layers",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "training of {model}"},
        ),
    log:
        paths.log(fit_figure("heatmap-{model}")),
    benchmark:
        paths.benchmark(fit_figure("heatmap-{model}"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.model_view),
        code=code_of("plot_heatmap"),
    shell:
        "python workflow/scripts/plot_heatmap.py --scores {input.scores} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_training:
    input:
        scores=table("scores"),
        quality=table("quality"),
        training=table("training"),
    output:
        report(
            fit_figure("training"),
            caption="../report/training.rst",
            category="4 Training",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "training"},
        ),
    log:
        paths.log(fit_figure("training")),
    benchmark:
        paths.benchmark(fit_figure("training"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_training"),
    shell:
        "python workflow/scripts/plot_training.py --scores {input.scores} --quality {input.quality}"
        " --training {input.training} --spec {params.spec:q} --output {output} 2> {log}"


rule plot_scaling:
    input:
        scores=table("scores"),
        quality=table("quality"),
        scaling=table("scaling"),
    output:
        report(
            fit_figure("scaling"),
            caption="../report/scaling.rst",
            category="5 Model size",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "scaling"},
        ),
    log:
        paths.log(fit_figure("scaling")),
    benchmark:
        paths.benchmark(fit_figure("scaling"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_scaling"),
    shell:
        "python workflow/scripts/plot_scaling.py --scores {input.scores} --quality {input.quality}"
        " --scaling {input.scaling} --spec {params.spec:q} --output {output} 2> {log}"


rule plot_lateralization:
    input:
        scores=table("scores"),
        quality=table("quality"),
        lateralization=table("lateralization"),
    output:
        report(
            fit_figure("lateralization"),
            caption="../report/lateralization.rst",
            category="6 Left and right",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "lateralization"},
        ),
    log:
        paths.log(fit_figure("lateralization")),
    benchmark:
        paths.benchmark(fit_figure("lateralization"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_lateralization"),
    shell:
        "python workflow/scripts/plot_lateralization.py --scores {input.scores} --quality {input.quality}"
        " --lateralization {input.lateralization} --spec {params.spec:q} --output {output} 2> {log}"


rule plot_emergence:
    input:
        scores=table("scores"),
        quality=table("quality"),
        lateralization=table("lateralization"),
        contrasts=table("lateralization_contrasts"),
    output:
        report(
            fit_figure("emergence"),
            caption="../report/emergence.rst",
            category="6 Left and right",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "emergence"},
        ),
    log:
        paths.log(fit_figure("emergence")),
    benchmark:
        paths.benchmark(fit_figure("emergence"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_emergence"),
    shell:
        "python workflow/scripts/plot_emergence.py --scores {input.scores} --quality {input.quality}"
        " --lateralization {input.lateralization} --contrasts {input.contrasts}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_quality:
    input:
        ceiling=paths.CEILING,
        quality=table("quality"),
    output:
        report(
            dataset_figure("quality"),
            caption="../report/quality.rst",
            category="2 Data quality",
            labels={"dataset": "{dataset}"},
        ),
    log:
        paths.log(dataset_figure("quality")),
    benchmark:
        paths.benchmark(dataset_figure("quality"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.dataset_view),
        code=code_of("plot_quality"),
    shell:
        "python workflow/scripts/plot_quality.py --ceiling {input.ceiling} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_recovery:
    input:
        table("truth_recovery"),
    output:
        report(
            dataset_figure("recovery"),
            caption="../report/recovery.rst",
            category="7 Planted truth",
            labels={"dataset": "{dataset}"},
        ),
    log:
        paths.log(dataset_figure("recovery")),
    benchmark:
        paths.benchmark(dataset_figure("recovery"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.dataset_view),
        code=code_of("plot_recovery"),
    shell:
        "python workflow/scripts/plot_recovery.py --recovery {input} --spec {params.spec:q}"
        " --output {output} 2> {log}"


rule write_table_page:
    input:
        table=table("{page}"),
        template="workflow/report/table.html",
        script="workflow/report/table.js",
        style="workflow/report/page.css",
    output:
        report(
            page("{page}"),
            caption="../report/table.rst",
            category="8 Tables",
            labels={"table": "{page}"},
        ),
    log:
        paths.log(page("{page}")),
    benchmark:
        paths.benchmark(page("{page}"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.table_page),
        code=code_of("write_table_page"),
    shell:
        "python workflow/scripts/write_table_page.py --table {input.table} --template {input.template}"
        " --script {input.script} --style {input.style} --spec {params.spec:q} --output {output} 2> {log}"


rule write_software_page:
    input:
        provenance=table("provenance"),
        template="workflow/report/software.html",
        style="workflow/report/page.css",
    output:
        report(
            page("software"),
            caption="../report/software.rst",
            category="9 Configuration and software",
            labels={"page": "configuration and software"},
        ),
    log:
        paths.log(page("software")),
    benchmark:
        paths.benchmark(page("software"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.open_outputs),
        runtime=runtime_of(costs.open_outputs),
    params:
        spec=spec_of(reporting.software_page),
        code=code_of("write_software_page"),
    shell:
        "python workflow/scripts/write_software_page.py --provenance {input.provenance}"
        " --template {input.template} --style {input.style} --spec {params.spec:q} --output {output} 2> {log}"


ruleorder: write_software_page > write_table_page

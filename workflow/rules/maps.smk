# Maps of voxels: nested scores and slopes as NIfTI images, and how they are drawn.
SCORE_MAP = paths.SCORE_MAP.replace("{study}", PLAN.name)
SIDES_MAP = paths.SIDES_MAP.replace("{study}", PLAN.name)
ADDED_MAP = paths.ADDED_MAP.replace("{study}", PLAN.name)
CORTEX = paths.FIT_PAGE.replace("{study}", PLAN.name).replace("{figure}", "cortex")


localrules:
    map_slopes,
    subtract_embedding,
    plot_slopes,


rule map_scores:
    input:
        mapped_fits,
    output:
        scores=SCORE_MAP,
        sides=SIDES_MAP,
    log:
        paths.log(SCORE_MAP),
    benchmark:
        paths.benchmark(SCORE_MAP)
    threads: 1
    resources:
        mem_mb=memory_of(costs.map_scores),
        runtime=runtime_of(costs.map_scores),
    params:
        spec=spec_of(specs.map_scores),
        code=code_of("map_scores"),
    shell:
        "python workflow/scripts/map_scores.py --fits {input:q} --spec {params.spec:q}"
        " --scores {output.scores} --sides {output.sides} 2> {log}"


rule subtract_embedding:
    input:
        scores=SCORE_MAP,
        embeddings=embedding_maps,
    output:
        ADDED_MAP,
    log:
        paths.log(ADDED_MAP),
    benchmark:
        paths.benchmark(ADDED_MAP)
    threads: 1
    resources:
        mem_mb=memory_of(costs.subtract_embedding),
        runtime=runtime_of(costs.subtract_embedding),
    params:
        spec=spec_of(specs.subtract_embedding),
        code=code_of("subtract_embedding"),
    shell:
        "python workflow/scripts/subtract_embedding.py --scores {input.scores}"
        " --embeddings {input.embeddings:q} --spec {params.spec:q} --output {output} 2> {log}"


rule map_slopes:
    input:
        later(PLAN.sized_maps),
    output:
        slopes=table("voxel_slopes"),
        maps=PLAN.slope_maps(),
    log:
        paths.log(table("voxel_slopes")),
    benchmark:
        paths.benchmark(table("voxel_slopes"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.map_slopes),
        runtime=runtime_of(costs.map_slopes),
    params:
        spec=spec_of(specs.map_slopes),
        code=code_of("map_slopes"),
    shell:
        "python workflow/scripts/map_slopes.py --maps <(printf '%s\\n' {input:q})"
        " --spec {params.spec:q} --output {output.slopes} --maps-output {output.maps:q} 2> {log}"


rule plot_maps:
    input:
        unpack(shown_maps),
    output:
        report(
            fit_figure("maps-{model}"),
            caption="../report/maps.rst",
            category="6 Brain maps",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "maps of {model}"},
        ),
    log:
        paths.log(fit_figure("maps-{model}")),
    benchmark:
        paths.benchmark(fit_figure("maps-{model}"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.draw_maps),
        runtime=runtime_of(costs.draw_maps),
    params:
        spec=spec_of(reporting.model_map_view),
        code=code_of("plot_maps"),
        files=options,
    shell:
        "python workflow/scripts/plot_maps.py {params.files} --spec {params.spec:q} --output {output} 2> {log}"


rule plot_slopes:
    input:
        table("voxel_slopes"),
    output:
        report(
            fit_figure("slopes"),
            caption="../report/slopes.rst",
            category="6 Brain maps",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "slopes on model size"},
        ),
    log:
        paths.log(fit_figure("slopes")),
    benchmark:
        paths.benchmark(fit_figure("slopes"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.draw_maps),
        runtime=runtime_of(costs.draw_maps),
    params:
        spec=spec_of(reporting.map_view),
        code=code_of("plot_slopes"),
    shell:
        "python workflow/scripts/plot_slopes.py --slopes {input} --spec {params.spec:q}"
        " --output {output} 2> {log}"


rule write_cortex_page:
    input:
        scores=cortex_map,
        template="workflow/report/cortex.html",
        style="workflow/report/page.css",
    output:
        report(
            CORTEX,
            caption="../report/cortex.rst",
            category="6 Brain maps",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "cortex, to be turned"},
        ),
    log:
        paths.log(CORTEX),
    benchmark:
        paths.benchmark(CORTEX)
    threads: 1
    resources:
        mem_mb=memory_of(costs.draw_maps),
        runtime=runtime_of(costs.draw_maps),
    params:
        spec=spec_of(reporting.cortex_view),
        code=code_of("write_cortex_page"),
    shell:
        "python workflow/scripts/write_cortex_page.py --scores {input.scores} --template {input.template}"
        " --style {input.style} --spec {params.spec:q} --output {output} 2> {log}"

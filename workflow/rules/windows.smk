# How far back units remember: swapped words, windows, and what these have to do with the brain.
localrules:
    collect_windows,
    collect_yoking,
    plot_window_fits,
    plot_yoking,
    plot_windows,
    plot_differences,
    plot_window_relation,


rule choose_swaps:
    input:
        unpack(swap_inputs),
    output:
        paths.SWAPS,
    log:
        paths.log(paths.SWAPS),
    benchmark:
        paths.benchmark(paths.SWAPS)
    threads: 1
    resources:
        mem_mb=memory_of(costs.choose_swaps),
        runtime=runtime_of(costs.choose_swaps),
        gpu=1,
        device=PLAN.site.device,
    params:
        files=options,
        spec=spec_of(specs.choose_swaps),
        version=version_of("choose_swaps"),
    shell:
        "python workflow/scripts/choose_swaps.py {params.files} --spec {params.spec:q} --threads {threads}"
        " --device {resources.device} --output {output} 2> >(tee {log} >&2)"


rule measure_windows:
    input:
        swap_table=paths.SWAPS,
        checkpoint=paths.CHECKPOINT,
    output:
        windows=paths.WINDOWS,
        yoking=paths.YOKING,
        differences=paths.DIFFERENCES,
    log:
        paths.log(paths.WINDOWS),
    benchmark:
        paths.benchmark(paths.WINDOWS)
    threads: 1
    resources:
        mem_mb=memory_of(costs.measure_windows),
        runtime=runtime_of(costs.measure_windows),
        gpu=1,
        device=PLAN.site.device,
    params:
        spec=spec_of(specs.measure_windows),
        version=version_of("measure_windows"),
    shell:
        "python workflow/scripts/measure_windows.py --swaps {input.swap_table} --checkpoint {input.checkpoint}"
        " --spec {params.spec:q} --threads {threads} --device {resources.device} --output {output.windows}"
        " --yoking-output {output.yoking} --differences-output {output.differences} 2> >(tee {log} >&2)"


rule collect_windows:
    input:
        later(PLAN.window_files),
    output:
        table("windows"),
    log:
        paths.log(table("windows")),
    benchmark:
        paths.benchmark(table("windows"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.collect_windows),
        runtime=runtime_of(costs.collect_windows),
    params:
        spec=spec_of(specs.collect_windows),
        code=code_of("collect_windows"),
    shell:
        "python workflow/scripts/collect_windows.py --files <(printf '%s\\n' {input:q})"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule collect_yoking:
    input:
        later(PLAN.window_files, paths.YOKING),
    output:
        table("yoking"),
    log:
        paths.log(table("yoking")),
    benchmark:
        paths.benchmark(table("yoking"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.collect_windows),
        runtime=runtime_of(costs.collect_windows),
    params:
        spec=spec_of(specs.collect_windows),
        code=code_of("collect_yoking"),
    shell:
        "python workflow/scripts/collect_yoking.py --files <(printf '%s\\n' {input:q})"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule relate_windows:
    input:
        scores=table("scores"),
        windows=table("windows"),
        yoking=table("yoking"),
    output:
        table("windows_brain"),
    log:
        paths.log(table("windows_brain")),
    benchmark:
        paths.benchmark(table("windows_brain"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.relate_windows),
        runtime=runtime_of(costs.relate_windows),
    params:
        spec=spec_of(specs.window_statistics),
        code=code_of("relate_windows"),
    shell:
        "python workflow/scripts/relate_windows.py --scores {input.scores} --windows {input.windows}"
        " --yoking {input.yoking} --spec {params.spec:q} --threads {threads} --output {output} 2> {log}"


rule plot_window_fits:
    input:
        windows=table("windows"),
    output:
        report(
            window_figure("window-fits"),
            caption="../report/window-fits.rst",
            category="6 Windows",
            subcategory="{text}",
            labels={"figure": "fits by layer"},
        ),
    log:
        paths.log(window_figure("window-fits")),
    benchmark:
        paths.benchmark(window_figure("window-fits"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.text_view),
        code=code_of("plot_window_fits"),
    shell:
        "python workflow/scripts/plot_window_fits.py --windows {input.windows}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_yoking:
    input:
        yoking=table("yoking"),
    output:
        report(
            window_figure("yoking"),
            caption="../report/yoking.rst",
            category="6 Windows",
            subcategory="{text}",
            labels={"figure": "structure yoking"},
        ),
    log:
        paths.log(window_figure("yoking")),
    benchmark:
        paths.benchmark(window_figure("yoking"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.text_view),
        code=code_of("plot_yoking"),
    shell:
        "python workflow/scripts/plot_yoking.py --yoking {input.yoking}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_windows:
    input:
        shown_windows(paths.WINDOWS),
    output:
        report(
            window_figure("windows-{model}"),
            caption="../report/windows.rst",
            category="6 Windows",
            subcategory="{text}",
            labels={"model": "{model}", "figure": "windows"},
        ),
    log:
        paths.log(window_figure("windows-{model}")),
    benchmark:
        paths.benchmark(window_figure("windows-{model}"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.plot_windows),
        runtime=runtime_of(costs.plot_windows),
    params:
        spec=spec_of(reporting.window_view),
        code=code_of("plot_windows"),
    shell:
        "python workflow/scripts/plot_windows.py --runs {input}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_differences:
    input:
        shown_windows(paths.DIFFERENCES),
    output:
        report(
            window_figure("differences-{model}"),
            caption="../report/differences.rst",
            category="6 Windows",
            subcategory="{text}",
            labels={"model": "{model}", "figure": "differences"},
        ),
    log:
        paths.log(window_figure("differences-{model}")),
    benchmark:
        paths.benchmark(window_figure("differences-{model}"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.plot_windows),
        runtime=runtime_of(costs.plot_windows),
    params:
        spec=spec_of(reporting.window_view),
        code=code_of("plot_differences"),
    shell:
        "python workflow/scripts/plot_differences.py --runs {input}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_window_relation:
    input:
        windows_brain=table("windows_brain"),
        scores=table("scores"),
        quality=table("quality"),
    output:
        report(
            fit_figure("window-relation"),
            caption="../report/window-relation.rst",
            category="6 Windows",
            subcategory="{dataset}",
            labels={"fit": "{fit}", "figure": "windows and brain"},
        ),
    log:
        paths.log(fit_figure("window-relation")),
    benchmark:
        paths.benchmark(fit_figure("window-relation"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.read_scores),
        runtime=runtime_of(costs.read_scores),
    params:
        spec=spec_of(reporting.fit_view),
        code=code_of("plot_window_relation"),
    shell:
        "python workflow/scripts/plot_window_relation.py --windows-brain {input.windows_brain} --scores {input.scores} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"

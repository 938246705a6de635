# Ridge encoders from states to responses, and their scores for each region.
rule fit_encoding:
    input:
        unpack(fitted),
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
        features=paths.FEATURES,
    output:
        paths.FIT,
    log:
        paths.log(paths.FIT),
    benchmark:
        paths.benchmark(paths.FIT)
    threads: 1
    resources:
        mem_mb=memory_of(costs.fit_encoding),
        runtime=runtime_of(costs.fit_encoding),
        gpu=1,
        device=PLAN.site.device,
        batch=PLAN.site.targets_per_batch,
    params:
        spec=spec_of(specs.fit_encoding),
        code=code_of("fit_encoding"),
    shell:
        "python workflow/scripts/fit_encoding.py --items {input.item_table} --words {input.word_table}"
        " --features {input.features} --responses {input.responses:q} --nuisance {input.nuisance}"
        " --layers {wildcards.layer}"
        " --spec {params.spec:q} --threads {threads} --device {resources.device}"
        " --batch {resources.batch} --output {output} 2> {log}"


rule score_roi:
    input:
        unpack(parcel_files),
        fits=cell_fits,
        ceiling=paths.CEILING,
    output:
        scores=paths.SCORES,
        draws=paths.DRAWS,
    log:
        paths.log(paths.SCORES),
    benchmark:
        paths.benchmark(paths.SCORES)
    threads: 1
    resources:
        mem_mb=memory_of(costs.score_roi),
        runtime=runtime_of(costs.score_roi),
    params:
        spec=spec_of(specs.score_roi),
        code=code_of("score_roi"),
        files=options,
    shell:
        "python workflow/scripts/score_roi.py {params.files}"
        " --roi {wildcards.roi} --spec {params.spec:q} --scores {output.scores}"
        " --draws {output.draws} 2> {log}"

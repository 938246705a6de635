# The items and words of a dataset, from its own files or simulated.
ruleorder: simulate_stimuli > prepare_stimuli


rule prepare_stimuli:
    input:
        unpack(stimulus_files),
    output:
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
    log:
        paths.log(paths.ITEMS),
    benchmark:
        paths.benchmark(paths.ITEMS)
    threads: 1
    resources:
        mem_mb=memory_of(costs.small),
        runtime=runtime_of(costs.small),
    params:
        spec=spec_of(specs.prepare_stimuli),
        code=code_of("prepare_stimuli"),
        files=options,
    shell:
        "python workflow/scripts/prepare_stimuli.py {params.files} --spec {params.spec:q}"
        " --output-items {output.item_table} --output-words {output.word_table} 2> {log}"


rule simulate_stimuli:
    output:
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
        truth=paths.TRUTH,
    log:
        paths.log(paths.ITEMS),
    benchmark:
        paths.benchmark(paths.ITEMS)
    wildcard_constraints:
        dataset=SIMULATED,
    resources:
        mem_mb=memory_of(costs.small),
        runtime=runtime_of(costs.small),
    params:
        spec=spec_of(specs.prepare_stimuli),
        code=code_of("simulate_stimuli"),
    shell:
        "python workflow/scripts/simulate_stimuli.py --spec {params.spec:q}"
        " --items {output.item_table} --words {output.word_table} --truth {output.truth} 2> {log}"

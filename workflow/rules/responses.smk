# The responses of each subject, of the mean subject, and what can be predicted of them at best.
ruleorder: average_responses > simulate_responses > prepare_responses


# The mask of a group, made of its images: what enough of all runs cover.
rule cover_runs:
    input:
        unpack(series_files),
    output:
        paths.COVERAGE,
    log:
        paths.log(paths.COVERAGE),
    benchmark:
        paths.benchmark(paths.COVERAGE)
    threads: 1
    resources:
        mem_mb=memory_of(costs.cover_runs),
        runtime=runtime_of(costs.cover_runs),
    params:
        spec=spec_of(specs.cover_runs),
        code=code_of("cover_runs"),
        files=options,
    shell:
        "python workflow/scripts/cover_runs.py {params.files} --spec {params.spec:q} --output {output}"
        " 2> {log}"


rule combine_coverage:
    input:
        unpack(coverage_inputs),
    output:
        paths.MASK,
    log:
        paths.log(paths.MASK),
    benchmark:
        paths.benchmark(paths.MASK)
    threads: 1
    resources:
        mem_mb=memory_of(costs.small),
        runtime=runtime_of(costs.small),
    params:
        spec=spec_of(specs.combine_coverage),
        code=code_of("combine_coverage"),
        files=options,
    shell:
        "python workflow/scripts/combine_coverage.py {params.files} --spec {params.spec:q}"
        " --output {output} 2> {log}"


rule prepare_responses:
    input:
        unpack(recording_files),
        item_table=paths.ITEMS,
    output:
        paths.RESPONSES,
    log:
        paths.log(paths.RESPONSES),
    benchmark:
        paths.benchmark(paths.RESPONSES)
    threads: 1
    resources:
        mem_mb=memory_of(costs.prepare_responses),
        runtime=runtime_of(costs.prepare_responses),
    params:
        spec=spec_of(specs.prepare_responses),
        code=code_of("prepare_responses"),
        files=options,
    shell:
        "python workflow/scripts/prepare_responses.py --items {input.item_table} {params.files}"
        " --subject {wildcards.subject} --spec {params.spec:q} --output {output} 2> {log}"


rule simulate_responses:
    input:
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
        truth=paths.TRUTH,
        features=planted_states,
    output:
        paths.RESPONSES,
    log:
        paths.log(paths.RESPONSES),
    benchmark:
        paths.benchmark(paths.RESPONSES)
    wildcard_constraints:
        dataset=SIMULATED,
    resources:
        mem_mb=memory_of(costs.simulate_responses),
        runtime=runtime_of(costs.simulate_responses),
    params:
        spec=spec_of(specs.prepare_responses),
        code=code_of("simulate_responses"),
    shell:
        "python workflow/scripts/simulate_responses.py --items {input.item_table} --words {input.word_table}"
        " --truth {input.truth} --features {input.features} --subject {wildcards.subject}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule average_responses:
    input:
        recorded_subjects,
    output:
        paths.RESPONSES,
    log:
        paths.log(paths.RESPONSES),
    benchmark:
        paths.benchmark(paths.RESPONSES)
    wildcard_constraints:
        subject="average",
        dataset=AVERAGED,
    resources:
        mem_mb=memory_of(costs.average_responses),
        runtime=runtime_of(costs.average_responses),
    params:
        spec=spec_of(specs.average_responses),
        code=code_of("average_responses"),
    shell:
        "python workflow/scripts/average_responses.py --responses {input:q} --spec {params.spec:q}"
        " --output {output} 2> {log}"


rule estimate_ceiling:
    input:
        unpack(ceiling_inputs),
    output:
        paths.CEILING,
    log:
        paths.log(paths.CEILING),
    benchmark:
        paths.benchmark(paths.CEILING)
    threads: 1
    resources:
        mem_mb=memory_of(costs.estimate_ceiling),
        runtime=runtime_of(costs.estimate_ceiling),
    params:
        spec=spec_of(specs.estimate_ceiling),
        code=code_of("estimate_ceiling"),
        files=options,
    shell:
        "python workflow/scripts/estimate_ceiling.py {params.files} --spec {params.spec:q}"
        " --output {output} 2> {log}"

# Sub-groups of neurons that act alike, and the networks of the brain that they drive.
localrules:
    collect_networks,


ruleorder: plant_neurons > extract_neurons


rule extract_neurons:
    input:
        word_table=paths.WORDS,
        checkpoint=paths.CHECKPOINT,
    output:
        paths.NEURONS,
    log:
        paths.log(paths.NEURONS),
    benchmark:
        paths.benchmark(paths.NEURONS)
    threads: 1
    resources:
        mem_mb=memory_of(costs.extract_features),
        runtime=runtime_of(costs.extract_features),
        gpu=1,
        device=PLAN.site.device,
    params:
        spec=spec_of(specs.extract_neurons),
        version=version_of("extract_neurons"),
    shell:
        "python workflow/scripts/extract_neurons.py --words {input.word_table} --checkpoint {input.checkpoint}"
        " --spec {params.spec:q} --threads {threads} --device {resources.device} --output {output}"
        " 2> >(tee {log} >&2)"


rule plant_neurons:
    input:
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
        truth=paths.TRUTH,
    output:
        paths.NEURONS,
    log:
        paths.log(paths.NEURONS),
    benchmark:
        paths.benchmark(paths.NEURONS)
    wildcard_constraints:
        dataset=SIMULATED,
        model=registry.PLANTED.pattern,
    threads: 1
    resources:
        mem_mb=memory_of(costs.plant_neurons),
        runtime=runtime_of(costs.plant_neurons),
    params:
        spec=spec_of(specs.plant_neurons),
        code=code_of("plant_neurons"),
    shell:
        "python workflow/scripts/plant_neurons.py --items {input.item_table} --words {input.word_table}"
        " --truth {input.truth} --spec {params.spec:q} --output {output} 2> {log}"


rule learn_atoms:
    input:
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
        neurons=paths.NEURONS,
    output:
        paths.ATOMS,
    log:
        paths.log(paths.ATOMS),
    benchmark:
        paths.benchmark(paths.ATOMS)
    threads: 1
    resources:
        mem_mb=memory_of(costs.learn_atoms),
        runtime=runtime_of(costs.learn_atoms),
    params:
        spec=spec_of(specs.learn_atoms),
        code=code_of("learn_atoms"),
    shell:
        "python workflow/scripts/learn_atoms.py --items {input.item_table} --words {input.word_table}"
        " --neurons {input.neurons} --spec {params.spec:q} --threads {threads} --output {output}"
        " 2> >(tee {log} >&2)"


rule map_atoms:
    input:
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
        atoms=paths.ATOMS,
        responses=fitted_responses,
    output:
        paths.ATOM_MAPS,
    log:
        paths.log(paths.ATOM_MAPS),
    benchmark:
        paths.benchmark(paths.ATOM_MAPS)
    threads: 1
    resources:
        mem_mb=memory_of(costs.map_atoms),
        runtime=runtime_of(costs.map_atoms),
    params:
        spec=spec_of(specs.map_atoms),
        code=code_of("map_atoms"),
    shell:
        "python workflow/scripts/map_atoms.py --items {input.item_table} --words {input.word_table}"
        " --atoms {input.atoms} --responses {input.responses:q} --spec {params.spec:q}"
        " --threads {threads} --output {output} 2> >(tee {log} >&2)"


rule label_atoms:
    input:
        unpack(labelled_images),
        item_table=paths.ITEMS,
        word_table=paths.WORDS,
        atoms=paths.ATOMS,
        maps=atom_maps,
        responses=single_subjects,
    output:
        maps=paths.GROUP_MAPS,
        atoms=paths.ATOM_TABLE,
        labels=paths.LABELS,
        organization=paths.ORGANIZATION,
    log:
        paths.log(paths.GROUP_MAPS),
    benchmark:
        paths.benchmark(paths.GROUP_MAPS)
    threads: 1
    resources:
        mem_mb=memory_of(costs.label_atoms),
        runtime=runtime_of(costs.label_atoms),
    params:
        spec=spec_of(specs.label_atoms),
        code=code_of("label_atoms"),
        files=options,
    shell:
        "python workflow/scripts/label_atoms.py --items {input.item_table} --words {input.word_table}"
        " {params.files} --spec {params.spec:q} --threads {threads} --output {output.maps}"
        " --atoms-output {output.atoms} --labels-output {output.labels}"
        " --organization-output {output.organization} 2> >(tee {log} >&2)"


rule collect_networks:
    input:
        atoms=later(PLAN.organized_files, paths.ATOM_TABLE),
        labels=later(PLAN.organized_files, paths.LABELS),
        organization=later(PLAN.organized_files, paths.ORGANIZATION),
    output:
        atoms=table("atoms"),
        labels=table("network_labels"),
        organization=table("organization"),
    log:
        paths.log(table("organization")),
    benchmark:
        paths.benchmark(table("organization"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.collect_networks),
        runtime=runtime_of(costs.collect_networks),
    params:
        spec=spec_of(specs.collect_scores),
        code=code_of("collect_networks"),
    shell:
        "python workflow/scripts/collect_networks.py --atoms <(printf '%s\\n' {input.atoms:q})"
        " --labels <(printf '%s\\n' {input.labels:q}) --organization <(printf '%s\\n' {input.organization:q})"
        " --spec {params.spec:q} --atoms-output {output.atoms} --labels-output {output.labels}"
        " --organization-output {output.organization} 2> {log}"


rule plot_atoms:
    input:
        maps=last_group_maps,
        organization=table("organization"),
        quality=table("quality"),
    output:
        report(
            dataset_figure("atoms"),
            caption="../report/atoms.rst",
            category="5 Networks",
            labels={"dataset": "{dataset}", "figure": "explained variance"},
        ),
    log:
        paths.log(dataset_figure("atoms")),
    benchmark:
        paths.benchmark(dataset_figure("atoms"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.draw_atoms),
        runtime=runtime_of(costs.draw_atoms),
    params:
        spec=spec_of(reporting.dataset_view),
        code=code_of("plot_atoms"),
    shell:
        "python workflow/scripts/plot_atoms.py --maps {input.maps:q} --organization {input.organization} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_sub_groups:
    input:
        maps=last_group_maps,
        quality=table("quality"),
    output:
        report(
            dataset_figure("sub-groups"),
            caption="../report/sub-groups.rst",
            category="5 Networks",
            labels={"dataset": "{dataset}", "figure": "sub-groups"},
        ),
    log:
        paths.log(dataset_figure("sub-groups")),
    benchmark:
        paths.benchmark(dataset_figure("sub-groups"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.draw_atoms),
        runtime=runtime_of(costs.draw_atoms),
    params:
        spec=spec_of(reporting.dataset_view),
        code=code_of("plot_sub_groups"),
    shell:
        "python workflow/scripts/plot_sub_groups.py --maps {input.maps:q} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_networks:
    input:
        labels=table("network_labels"),
        organization=table("organization"),
        quality=table("quality"),
    output:
        report(
            dataset_figure("networks"),
            caption="../report/networks.rst",
            category="5 Networks",
            labels={"dataset": "{dataset}", "figure": "networks"},
        ),
    log:
        paths.log(dataset_figure("networks")),
    benchmark:
        paths.benchmark(dataset_figure("networks"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.draw_atoms),
        runtime=runtime_of(costs.draw_atoms),
    params:
        spec=spec_of(reporting.dataset_view),
        code=code_of("plot_networks"),
    shell:
        "python workflow/scripts/plot_networks.py --labels {input.labels} --organization {input.organization} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_organization:
    input:
        organization=table("organization"),
        quality=table("quality"),
    output:
        report(
            dataset_figure("organization"),
            caption="../report/organization.rst",
            category="5 Networks",
            labels={"dataset": "{dataset}", "figure": "organization"},
        ),
    log:
        paths.log(dataset_figure("organization")),
    benchmark:
        paths.benchmark(dataset_figure("organization"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.draw_atoms),
        runtime=runtime_of(costs.draw_atoms),
    params:
        spec=spec_of(reporting.dataset_view),
        code=code_of("plot_organization"),
    shell:
        "python workflow/scripts/plot_organization.py --organization {input.organization} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_atom_maps:
    input:
        maps=last_group_maps,
        labels=table("network_labels"),
        quality=table("quality"),
    output:
        report(
            dataset_figure("atom-maps-{model}"),
            caption="../report/atom-maps.rst",
            category="5 Networks",
            labels={"dataset": "{dataset}", "figure": "maps of {model}"},
        ),
    log:
        paths.log(dataset_figure("atom-maps-{model}")),
    benchmark:
        paths.benchmark(dataset_figure("atom-maps-{model}"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.draw_atoms),
        runtime=runtime_of(costs.draw_atoms),
    params:
        spec=spec_of(reporting.network_view),
        code=code_of("plot_atom_maps"),
    shell:
        "python workflow/scripts/plot_atom_maps.py --maps {input.maps} --labels {input.labels} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"


rule plot_atom_correlations:
    input:
        maps=last_group_maps,
        labels=table("network_labels"),
        quality=table("quality"),
    output:
        report(
            dataset_figure("atom-correlations-{model}"),
            caption="../report/atom-correlations.rst",
            category="5 Networks",
            labels={"dataset": "{dataset}", "figure": "correlations of {model}"},
        ),
    log:
        paths.log(dataset_figure("atom-correlations-{model}")),
    benchmark:
        paths.benchmark(dataset_figure("atom-correlations-{model}"))
    threads: 1
    resources:
        mem_mb=memory_of(costs.draw_atoms),
        runtime=runtime_of(costs.draw_atoms),
    params:
        spec=spec_of(reporting.network_view),
        code=code_of("plot_atom_correlations"),
    shell:
        "python workflow/scripts/plot_atom_correlations.py --maps {input.maps} --labels {input.labels} --quality {input.quality}"
        " --spec {params.spec:q} --output {output} 2> {log}"

# Recordings of public archives. They stay outside the workflow, which keeps a note of where they are.
localrules:
    fetch_recording,


# One after the other, and not in turn with checkpoints: one of those may be waiting for room on the
# disk, until jobs are done that need the words of a recording.
workflow.register_resource("recording", 1)


# Goes online only for files that are not on disk.
rule fetch_recording:
    output:
        paths.RECORDING,
    log:
        paths.log(paths.RECORDING),
    benchmark:
        paths.benchmark(paths.RECORDING)
    # It tries again by itself.
    retries: 0
    threads: 0
    resources:
        recording=1,
        mem_mb=memory_of(costs.small),
        runtime=runtime_of(costs.small),
    params:
        spec=spec_of(specs.fetch_recording),
        code=code_of("fetch_recording"),
        files=archive_options,
    shell:
        "python workflow/scripts/fetch_recording.py {params.files} --spec {params.spec:q}"
        " --output {output} 2> >(tee {log} >&2)"

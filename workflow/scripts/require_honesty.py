"""Rule require_honesty: stop a protocol that claims to be honest and has a leak."""

from mirrorflow.runtime.job import job_setup

with job_setup(snakemake):
    from mirrorflow.steps.audit.audit import fail_on_leak

    fail_on_leak(snakemake.input.record, strict=snakemake.params.strict)

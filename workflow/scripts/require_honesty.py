"""Rule require_honesty: stop a protocol that claims to be honest and has a leak."""

from mirrorflow.runtime.job import door

with door(snakemake):
    from mirrorflow.steps.audit.audit import stop_if_dishonest

    stop_if_dishonest(snakemake.input.record, strict=snakemake.params.strict)

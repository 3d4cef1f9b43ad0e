"""Rule require_honesty: stop a protocol that claims to be honest and has a leak."""

from mirrorflow.jobs.door import door

with door(snakemake):
    from mirrorflow.jobs.run_audit import stop_if_dishonest

    stop_if_dishonest(snakemake.input.record, strict=snakemake.params.strict)

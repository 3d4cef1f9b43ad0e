"""What a job leaves beside its files: Snakemake's measurements of it, and its own."""

from dataclasses import dataclass

from mirrorflow.plan.contract_path import ContractPath


@dataclass(frozen=True, order=True)
class JobBenchmark(ContractPath):
    """Snakemake's measurements of a job. ``job``: its rule, and what its wildcards make of the rest."""

    job: str
    TEMPLATE = "benchmarks/{job}.tsv"

    @property
    def rule(self) -> str:
        """The job's rule."""
        return self.job.split("/")[0]

    @property
    def used(self) -> "JobUsage":
        """The job's own measurements."""
        return JobUsage(self.root, self.job)


@dataclass(frozen=True, order=True)
class JobUsage(ContractPath):
    """A job's own measurements, beside its log: seconds, cpu_seconds, peak_mb (``runtime.usage``)."""

    job: str
    TEMPLATE = "logs/{job}.used.json"

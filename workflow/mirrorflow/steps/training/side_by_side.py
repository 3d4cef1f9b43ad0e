"""How many calls of a training job go side by side."""

from mirrorflow.runtime.forks import ONE_BY_ONE, Cores
from mirrorflow.runtime.job import Job
from mirrorflow.training.devices import kind_of


def cores_of_calls(job: Job, calls: int) -> Cores:
    """How ``calls`` share the job's threads and memory; on a GPU one process makes them one after the other."""
    if kind_of("auto") != "cpu":
        return ONE_BY_ONE
    return Cores.shared(job.threads, calls, float(job.resources.get("mem_mb", "inf")))

"""How many threads the numerical libraries of this process use, once they are loaded."""

import sys


def use_threads(threads: int) -> None:
    """Let BLAS, OpenMP and torch compute in ``threads`` threads, as they read it from the environment when they start.

    torch is asked only where it is loaded.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)

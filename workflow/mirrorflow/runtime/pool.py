"""Two pools of threads, one reading ahead for the other, results in order."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Raw = TypeVar("Raw")
Result = TypeVar("Result")


def read_then_work(
    items: Iterable[Item],
    read: Callable[[Item], Raw],
    work: Callable[[Item, Raw], Result],
    *,
    readers: int,
    workers: int,
    prepare: Callable[[], None] | None = None,
    waited: Callable[[float], None] | None = None,
) -> Iterator[Result]:
    """``work(item, read(item))`` for each item, in the order of ``items``.

    ``readers`` threads read ahead of ``workers`` threads, each of which runs ``prepare`` first; at most as many
    items are under way as keep both busy, so memory does not grow with their number. ``waited`` is told the seconds
    that a worker waited for each item to be read. The first exception ends it, and is raised here.
    """
    ahead = readers + 2 * workers
    under_way: deque[Future[Result]] = deque()
    reading = ThreadPoolExecutor(readers, thread_name_prefix="read")
    working = ThreadPoolExecutor(workers, thread_name_prefix="work", initializer=prepare)

    def start(item: Item) -> Future[Result]:
        raw = reading.submit(read, item)
        return working.submit(lambda: work(item, _awaited(raw, waited)))

    try:
        for item in items:
            under_way.append(start(item))
            if len(under_way) >= ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        working.shutdown(wait=False, cancel_futures=True)
        reading.shutdown(wait=True, cancel_futures=True)
        working.shutdown(wait=True)


def _awaited(raw: Future[Raw], waited: Callable[[float], None] | None) -> Raw:
    started = time.perf_counter()
    found = raw.result()
    if waited is not None:
        waited(time.perf_counter() - started)
    return found

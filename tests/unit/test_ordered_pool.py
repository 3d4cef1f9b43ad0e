"""Reading ahead in threads, results in order."""

import threading

import pytest

from mirrorflow.runtime.pool import read_then_work


@pytest.mark.parametrize(("readers", "workers"), [(1, 1), (3, 2)])
def test_results_come_in_order(readers: int, workers: int):
    found = read_then_work(range(50), lambda i: i * 10, lambda i, raw: (i, raw), readers=readers, workers=workers)
    assert list(found) == [(i, i * 10) for i in range(50)]


def test_no_more_items_are_under_way_than_threads_need():
    taken = 0

    def items():
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield i

    results = read_then_work(items(), lambda i: i, lambda i, _: i, readers=2, workers=1)
    next(results)
    assert taken <= 5
    results.close()


@pytest.mark.parametrize("broken", ["read", "work"])
def test_an_error_ends_it(broken: str):
    def fail(i: int, _: int = 0) -> int:
        if i == 3:
            message = "three"
            raise ValueError(message)
        return i

    read, work = (fail, lambda i, _: i) if broken == "read" else (lambda i: i, fail)
    before = threading.active_count()
    with pytest.raises(ValueError, match="three"):
        list(read_then_work(range(20), read, work, readers=2, workers=2))
    assert threading.active_count() == before

"""An order of units cut into batches."""

import pytest

from mirrorflow.training.batches import batch_slices, probe_batch


@pytest.mark.parametrize(
    ("count", "asked", "sizes"),
    [
        (20, {}, [8, 8, 4]),
        (16, {}, [8, 8]),
        (17, {}, [8, 8, 1]),
        (17, {"at_least": 2}, [8, 9]),
        (20, {"drop_last": True}, [8, 8]),
        (17, {"drop_last": True, "at_least": 2}, [8, 8]),
        (16, {"drop_last": True}, [8, 8]),
        (5, {"drop_last": True}, [5]),
        (1, {"at_least": 2}, [1]),
        (0, {}, []),
    ],
)
def test_batches_lie_side_by_side_and_the_last_is_treated_as_asked(count, asked, sizes):
    order = list(range(count))
    batches = [order[batch] for batch in batch_slices(count, 8, **asked)]
    assert [len(batch) for batch in batches] == sizes
    assert [unit for batch in batches for unit in batch] == order[: sum(sizes)]


@pytest.mark.parametrize(
    ("count", "batch"), [(40, 16), (17, 16), (16, 16), (15, 8), (12, 8), (8, 8), (7, 4), (3, 2), (2, 2), (1, 2)]
)
def test_the_probe_cuts_a_small_set_at_the_power_of_two_below(count, batch):
    assert probe_batch(count, 16) == batch

"""What the full TCGA run would cost, by what a run's jobs did."""

import pandas as pd
import pytest

from mirrorflow.report.running import cost_section
from mirrorflow.steps.results.cost_forecast import Extent, extent_of, forecast, planned_jobs


def frames(*seconds: float) -> list[pd.DataFrame]:
    return [pd.DataFrame({"s": [value], "cpu_time": [value], "max_rss": [100.0]}) for value in seconds]


HERE = Extent(patches=1000.0, units=90.0, pretrain_epochs=10.0, supervised_epochs=5.0)


def test_hours_are_jobs_times_seconds_times_growth():
    rows = {row.rule: row for row in forecast({"extract_features": frames(8, 12), "audit": frames(3)}, HERE)}
    jobs, on_gpu = planned_jobs()["extract_features"]
    patches = 3600 * 11_000 / 4 / planned_jobs()["patch_slides"][0]  # 512 px patches cover four of 256 px
    assert on_gpu
    assert rows["extract_features"].hours == pytest.approx(jobs * 10 * (patches / 1000) / 3600)
    assert rows["audit"].hours == pytest.approx(planned_jobs()["audit"][0] * 3 / 3600)
    assert not rows["audit"].on_gpu


def test_cpu_hours_and_memory_are_of_jobs_that_measured_themselves():
    jobs = [*frames(8), pd.DataFrame({"s": [12.0], "cpu_time": [float("nan")], "max_rss": [float("nan")]})]
    (row,) = forecast({"audit": [jobs[0].assign(cpu_time=30.0), jobs[1]]}, HERE)
    planned = planned_jobs()["audit"][0]
    assert (row.hours, row.cpu_hours) == pytest.approx((planned * 10 / 3600, planned * 30 / 3600))
    assert row.peak_mb == 100.0
    (none,) = forecast({"audit": [jobs[1]]}, HERE)
    cells = [cell.text for cell in cost_section({"audit": [jobs[1]]}, [none]).blocks[1].rows[0]]
    assert cells[-2:] == ["", ""]


def test_twice_the_epochs_here_halve_the_forecast():
    once, twice = (
        forecast({"pretrain_mirror": frames(7)}, Extent(1.0, 90.0, epochs, 5.0))[0].hours for epochs in (10.0, 20.0)
    )
    assert once == pytest.approx(2 * twice)


def test_rules_that_tcga_does_not_need_have_no_figure():
    assert forecast({"simulate_cohort": frames(20)}, HERE) == []


def test_a_run_without_slides_or_pretraining_has_a_forecast_all_the_same():
    config = {"methods": {"linear": {"family": "linear"}}}
    here = extent_of(config, [], [40], 0)
    assert forecast({"evaluate": frames(2)}, here)[0].hours > 0
    assert here.patches == here.pretrain_epochs == 0


def test_the_section_says_both_sums_and_what_they_stand_on():
    rows = forecast({"extract_features": frames(10), "audit": frames(3600)}, HERE)
    section = cost_section({"audit": frames(3600)}, rows)
    caption = section.blocks[1].caption
    assert f"{planned_jobs()['audit'][0]:,.0f} hours of others" in caption
    assert "config/tcga.yaml" in caption

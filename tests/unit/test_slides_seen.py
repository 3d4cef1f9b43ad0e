"""A machine without the slides' disk stops; it does not make the cohort smaller."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mirrorflow.config.resolve import resolve
from mirrorflow.errors import InputError
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.slides_seen import SEEN, require_seen, tell_jobs
from small_config import minimal


@pytest.fixture
def slides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv(SEEN, "{}")
    paths = [tmp_path / f"{name}.svs" for name in "abc"]
    for path in paths[:2]:
        path.touch()
    return paths


def test_what_was_there_has_to_be_seen(slides: list[Path]) -> None:
    tell_jobs({"own": [0, 2]})
    require_seen("own", 1, slides)  # one was nowhere when it was planned: a row of the ledger, as ever
    require_seen("own", 0, slides)
    slides[2].touch()
    require_seen("own", 1, slides)
    for path in slides[1:]:
        path.unlink()
    with pytest.raises(InputError, match=r"b\.svs: not there on .*2 slides of this job's 3 were there .* 1 are now"):
        require_seen("own", 1, slides)


def test_nothing_is_required_where_nothing_was_told(slides: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [path.with_name("gone.svs") for path in slides]
    tell_jobs({"other": [3]})
    require_seen("own", 0, gone)
    require_seen("other", 1, gone)  # of another number of shards
    monkeypatch.delenv(SEEN)
    require_seen("own", 0, gone)


def test_slides_of_a_users_sheet_are_counted_by_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"slide-{number}" for number in range(12)]
    rows = "".join(f"{name}\tp\t{name}.svs\n" for name in names)
    (tmp_path / "slides.tsv").write_text(f"slide_id\tpatient\tpath\n{rows}")
    for name in names[:9]:
        (tmp_path / f"{name}.svs").touch()
    config = minimal(
        slides={"shards": 4}, features={"encoders": {"resnet50": {"model": "resnet50", "weights": "random"}}}
    )
    elsewhere = config["cohorts"]["a"]
    here = {key: value for key, value in elsewhere.items() if key != "features"} | {"encoders": ["resnet50"]}
    config["cohorts"] = {"a": elsewhere, "b": here}
    inputs = SlideInputs(Run(resolve(config)))
    there = inputs.there()
    assert list(there) == ["b"], "features made elsewhere need no slides"
    assert (len(there["b"]), sum(there["b"])) == (4, 9)
    asked = [SimpleNamespace(cohort="b", shard=str(shard)) for shard in range(4)]
    assert len({inputs.given_slides(one) for one in asked}) == 4

"""Sections of the report that list what models saw: maps of vectors, genes."""

import json
from pathlib import Path

import pandas as pd

from mirrorflow.report.attributions import attributions_sections
from mirrorflow.report.blocks import Details, Table
from mirrorflow.report.embeddings import embeddings_sections
from mirrorflow.report.pictures import Drawn, NotDrawn
from mirrorflow.steps.results.report_files import Links
from mirrorflow.steps.results.report_inputs import read_figures


def drawn(kind: str) -> Drawn:
    return Drawn("c", kind, "title", "alt", "caption", b"<svg/>")


def test_a_run_without_them_has_no_section() -> None:
    assert embeddings_sections([drawn("forest")], []) == []
    assert attributions_sections([], [drawn("forest")], []) == []


def test_maps_stand_behind_what_they_do_not_say() -> None:
    (section,) = embeddings_sections([drawn("embeddings")], [NotDrawn("c", "embeddings", "mirror_fold1", "NaN")])
    assert "distances and sizes mean nothing" in section.blocks[0].text  # type: ignore[union-attr]
    assert "mirror_fold1 is not drawn: NaN" in str(section.blocks)


def test_what_is_missing_says_of_whose_folder_it_is(tmp_path: Path) -> None:
    folders = [tmp_path / "figures/c", tmp_path / "explained/honest/c/uni/abmil"]
    for folder in folders:
        folder.mkdir(parents=True)
        left_out = [{"kind": "embeddings", "name": "subtyping errors", "why": "none"}]
        (folder / "figures.json").write_text(json.dumps({"cohort": "c", "figures": [], "left_out": left_out}))
    _, missing = read_figures(folders, Links(tmp_path))
    (section,) = embeddings_sections([drawn("embeddings")], missing)
    assert "'subtyping errors is not drawn: none'" in str(section.blocks)
    assert "'honest, c, uni, abmil: subtyping errors is not drawn: none'" in str(section.blocks)


def test_genes_have_their_measures_and_sets(tmp_path: Path) -> None:
    folder = tmp_path / "attributions" / "honest" / "c" / "uni" / "mirror"
    folder.mkdir(parents=True)
    rows = [
        {"fold": fold, "measure": "rank agreement", "of": "zero", "value": fold, "by_chance": 0.0}
        for fold in (0.0, 1.0)
    ]
    pd.DataFrame(rows).assign(p=None, n=3).to_csv(folder / "survival_measures.csv", index=False)
    sets = pd.DataFrame({"name": ["007", "NA"], "genes": [9, 2], "of": [9, 9], "above": [0.7, None], "p": [0.01, None]})
    sets.assign(q=[0.01, None]).to_csv(folder / "survival_sets.csv", index=False)
    other = tmp_path / "figures" / "c"
    (section,) = attributions_sections([other, folder], [drawn("attributions")], [])
    (details,) = (one for one in section.blocks if isinstance(one, Details))
    found = [one for one in details.blocks if isinstance(one, Table)]
    assert [cell.text for cell in found[0].rows[0]] == ["rank agreement", "zero", "0.5", "0", "", "3"]
    assert [row[0].text for row in found[1].rows] == ["007", "NA"]
    assert "honest/c/uni/mirror" in found[1].caption

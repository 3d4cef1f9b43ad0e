import numpy as np
import pytest

from mirrorflow.demo.census import COLUMNS, DEMO_TUMOUR, draw_census
from mirrorflow.demo.factors import draw_patients
from mirrorflow.demo.rna import draw_expression, draw_samples, draw_transcripts
from mirrorflow.demo.settings import complete_settings

SETTINGS = complete_settings({"patients": 40, "transcripts": 300, "site_count": 4})


@pytest.fixture(scope="module")
def simulated():
    patients = draw_patients(SETTINGS)
    transcripts = draw_transcripts(SETTINGS)
    samples = draw_samples(patients, list(patients["patient"][:2]), SETTINGS["seed"])
    expression = draw_expression(transcripts, samples, patients, SETTINGS["seed"])
    return patients, transcripts, samples, expression


def module_score(transcripts, expression, module):
    """Mean of a module's transcripts with the sign of their loading: what simple statistics see."""
    chosen = (transcripts["module"] == module).to_numpy()
    values = expression.set_index("sample").clip(lower=-3).to_numpy()[chosen]
    values = values - values.mean(axis=1, keepdims=True)
    return (values * np.sign(transcripts["loading"].to_numpy()[chosen])[:, None]).mean(axis=0)


def test_modules_follow_their_own_factor_and_no_other(simulated):
    patients, transcripts, samples, expression = simulated
    tumours = (samples["type"] == "01").to_numpy()
    truth = patients.set_index("patient").loc[samples["patient"][tumours]]
    score = {name: module_score(transcripts, expression, name)[tumours] for name in ("shared", "rna_only")}
    for name in score:
        assert np.corrcoef(score[name], truth[name])[0, 1] > 0.75
        assert abs(np.corrcoef(score[name], truth["slide_only"])[0, 1]) < 0.5


def test_zero_fpkm_is_log2_of_the_pseudocount(simulated):
    values = simulated[3].drop(columns="sample").to_numpy()
    assert values.min() == pytest.approx(-9.9658, abs=1e-4)
    assert 0.05 < (values == values.min()).mean() < 0.5
    assert np.isfinite(values).all()


def test_samples_hold_normals_a_metastasis_and_patients_without_slides(simulated):
    patients, _, samples, _ = simulated
    assert (samples["type"] == "11").sum() >= 2
    assert (samples["type"] == "06").sum() == 1
    assert not set(patients["patient"][:2]) & set(samples["patient"])
    without_slides = set(patients.loc[~patients["has_slides"], "patient"])
    assert without_slides <= set(samples["patient"])
    assert samples["sample"].is_unique


def test_probe_map_has_one_place_a_transcript_and_genes_with_several(simulated):
    transcripts = simulated[1]
    assert transcripts["id"].str.fullmatch(r"ENST00000\d{6}\.\d").all()
    assert transcripts["id"].is_unique
    assert 0.2 < (transcripts["gene"].value_counts() > 1).mean() < 0.45
    assert (transcripts["chromEnd"] > transcripts["chromStart"]).all()
    assert (transcripts.groupby("gene")["strand"].nunique() == 1).all()


def test_census_mixes_informative_and_other_genes_under_cosmics_header(simulated):
    transcripts = simulated[1]
    census = draw_census(transcripts, SETTINGS["seed"])
    assert list(census) == COLUMNS
    module = transcripts.drop_duplicates("gene").set_index("gene")["module"]
    known = census["GENE_SYMBOL"][census["GENE_SYMBOL"].isin(module.index)]
    assert len(known) == len(census) - 1
    assert set(module[known].isin(["shared", "rna_only"])) == {True, False}
    assert set(census["TUMOUR_TYPES_SOMATIC"].str.contains(DEMO_TUMOUR)) == {True, False}
    renamed = census.set_index("GENE_SYMBOL").loc["RENAMED1", "SYNONYMS"].split(",")
    assert renamed[1] in module.index

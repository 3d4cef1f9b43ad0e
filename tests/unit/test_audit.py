import json
from pathlib import Path

import pytest

from mirrorflow.audit import findings as audit
from mirrorflow.audit.claims import fail_on_leak
from mirrorflow.audit.findings import LEAK, WARNING, Finding, audit_splits
from mirrorflow.audit.page import to_markdown as page
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.errors import MirrorflowError
from mirrorflow.store.tables import read_folds, read_institutions, read_text_sheet

SHARED = Path(__file__).parents[2].parent / "shared" / "tcga"
CLEAN = [Fold(("A", "B"), ("C", "D")), Fold(("C", "D"), ("A", "B"))]


def found(findings: list[Finding]) -> set[tuple[str, str, int | None, int]]:
    return {(finding.level, finding.kind, finding.fold, finding.count) for finding in findings}


# Splits.


def test_clean_folds_have_no_finding():
    labels = {"A": "x", "B": "y", "C": "x", "D": "y"}
    sites = {"A": "1", "B": "1", "C": "2", "D": "2"}
    assert audit_splits(CLEAN, sites, labels) == []
    assert audit_splits(CLEAN, {}, {}) == []


def test_patients_on_both_sides_are_a_leak_and_shown():
    (finding,) = audit_splits([Fold(("A", "B", "C"), ("C", "B", "D"))], {}, {})
    assert finding == Finding(LEAK, "patients_in_both", "2 patients are in train and val", 0, 2, ("B", "C"))


def rcc_like_folds(shared: list[int], count: int = 300) -> list[Fold]:
    """Five folds with the given numbers of patients on both sides, as the published ones of RCC."""
    names = [f"TCGA-{i % 40:02}-{i:04}" for i in range(count)]
    folds = []
    for number, extra in enumerate(shared):
        val = names[number * 60 : (number + 1) * 60]
        train = [name for name in names if name not in val]
        folds.append(Fold(tuple(train + val[:extra]), tuple(val)))
    return folds


def test_folds_like_rccs_have_15_10_3_10_and_13_shared_patients():
    shared = [15, 10, 3, 10, 13]
    leaks = audit.leaks(audit_splits(rcc_like_folds(shared), {}, {}))
    assert [finding.kind for finding in leaks] == ["patients_in_both"] * 5
    assert [finding.fold for finding in leaks] == [0, 1, 2, 3, 4]
    assert [finding.count for finding in leaks] == shared
    assert all(len(finding.examples) == min(5, finding.count) for finding in leaks)


def test_sites_on_both_sides_are_a_warning():
    findings = audit_splits([Fold(("A", "B"), ("C", "D"))], {"A": "1", "B": "2", "C": "2", "D": "3"}, {})
    assert found(findings) == {(WARNING, "sites_in_both", 0, 1)}
    assert findings[0].text == "1 of 3 tissue source sites are in train and val"
    assert findings[0].examples == ("2",)


def coded(labels: dict[str, str]) -> tuple[list[Fold], dict[str, str]]:
    """Folds of the patients and their sites: the first letter of the name."""
    names = sorted(labels)
    return [Fold(tuple(names[::2]), tuple(names[1::2]))], {name: name[0] for name in names}


def test_sites_that_tell_the_class_are_a_warning():
    """As in TCGA's colon and rectum: a code belongs to one project, a hospital has a code for each."""
    classes = {"A": "colon", "B": "rectum", "C": "colon", "D": "rectum"}
    labels = {f"{site}{number}": classes[site] for site in classes for number in range(3)}
    folds, sites = coded(labels)
    (finding,) = (one for one in audit_splits(folds, sites, labels) if one.kind == "sites_tell_class")
    assert (finding.level, finding.fold, finding.count) == (WARNING, None, 12)
    assert finding.text.startswith("tissue source sites tell the class: 12 of 12 patients have that of most patients ")
    assert "(largest of 199 permutations " in finding.text
    assert ", p = 0.0" in finding.text
    assert finding.examples == ("A", "B", "C", "D")
    hospitals = {name: {"A": "X", "B": "X", "C": "Y", "D": "Y"}[site] for name, site in sites.items()}
    assert "sites_tell_class" not in {one.kind for one in audit_splits(folds, hospitals, labels)}


def test_sites_tell_nothing_where_one_class_is_nearly_all_units_or_a_site_has_one_patient():
    labels = {f"{site}{number}": "x" for site in "ABCDEFGH" for number in range(5)} | {"A9": "y"}
    folds, sites = coded(labels)
    assert "sites_tell_class" not in {one.kind for one in audit_splits(folds, sites, labels)}
    labels = {f"{site}0": "xy"[number % 2] for number, site in enumerate("ABCDEFGH")}
    folds, sites = coded(labels)
    assert "sites_tell_class" not in {one.kind for one in audit_splits(folds, sites, labels)}


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/tcga is not here")
@pytest.mark.parametrize(("cohort", "told"), [("coadread", True), ("nsclc", True), ("brca", False)])
def test_codes_of_real_cohorts_tell_the_class_and_their_institutions_do_not(cohort, told):
    sheet = read_text_sheet(SHARED / cohort / "clinical.tsv")
    labels = dict(zip(sheet["case_id"], sheet["subtype"], strict=True))
    codes = dict(zip(sheet["case_id"], sheet["site"].str.zfill(2), strict=True))
    names = read_institutions("tcga")
    assert set(codes.values()) <= set(names)
    folds = read_folds(SHARED / cohort / "splits", 5)
    for sites, expected in ((codes, told), ({name: names[code] for name, code in codes.items()}, False)):
        assert ("sites_tell_class" in {one.kind for one in audit_splits(folds, sites, labels)}) == expected


def test_sites_are_called_what_they_are_and_bare_codes_are_remarked_on():
    shared = audit_splits([Fold(("A",), ("C",))], {"A": "x", "C": "x"}, {}, site_kind="institutions")
    assert shared[0].text == "1 of 1 institutions are in train and val"
    assert audit.audit_site_codes(shared, "institutions", site_preserved=True) == []
    assert audit.audit_site_codes(shared, "column", site_preserved=True) == []
    for findings, claimed in ((shared, False), ([], True)):
        (remark,) = audit.audit_site_codes(findings, "barcode", site_preserved=claimed)
        assert (remark.level, remark.kind) == (WARNING, "site_codes")
        assert remark.text.startswith("sites were compared by code only: a code is not a hospital")
    assert audit.audit_site_codes([], "barcode", site_preserved=False) == []


def test_a_third_part_is_held_against_both_others():
    fold = Fold(("A", "B"), ("C", "A"), ("D", "B", "C"))
    findings = audit_splits([fold, Fold(("A",), ("C",), ("D",))], {}, {})
    assert [(f.fold, f.text, f.examples) for f in audit.leaks(findings)] == [
        (0, "1 patients are in train and val", ("A",)),
        (0, "1 patients are in train and test", ("B",)),
        (0, "1 patients are in val and test", ("C",)),
    ]
    (overlap,) = [finding for finding in findings if finding.kind == "evaluation_overlap"]
    assert overlap.examples == ("D",)


def test_unknown_sites_are_not_one_shared_site():
    assert audit_splits([Fold(("A",), ("C",))], {"A": "", "C": ""}, {}) == []


def test_a_patient_listed_twice_is_a_warning():
    findings = audit_splits([Fold(("A", "A", "B"), ("C", "C"))], {}, {})
    assert found(findings) == {(WARNING, "duplicates", 0, 1)}
    assert {finding.text for finding in findings} == {
        "1 patients are listed more than once in train",
        "1 patients are listed more than once in val",
    }


def test_a_fold_that_lacks_a_class_is_a_warning():
    labels = {"A": "x", "B": "y", "C": "x", "D": ""}
    (finding,) = audit_splits([Fold(("A", "B"), ("C", "D"))], {}, labels)
    assert (finding.level, finding.kind) == (WARNING, "absent_class")
    assert finding.text == "val has no patient of class y"


def test_overlapping_evaluation_folds_are_a_warning():
    folds = [Fold(("A",), ("C", "D")), Fold(("A",), ("D", "E"))]
    (finding,) = audit_splits(folds, {}, {})
    assert finding == Finding(
        WARNING, "evaluation_overlap", "1 patients are evaluated in more than one fold", None, 1, ("D",)
    )


# Genes, protocol, lost units, scaling.


def of(*lists: list[str], **counts: object) -> list[dict[str, object]]:
    """Records of gene manifests that saw these labels."""
    return [{"label_patients": names, **counts} for names in lists]


def test_genes_chosen_with_evaluation_labels_are_a_leak_that_counts_genes_and_labels():
    findings = audit.audit_genes(CLEAN, of(["A", "B"], ["A", "C", "D"]), [])
    assert found(findings) == {(LEAK, "gene_labels", 1, 1)}
    assert findings[0].examples == ("A",)
    said = "were chosen with the subtype labels of 3 patients, 1 evaluation patients among them"
    assert findings[0].text == f"genes {said}"
    counts = {"genes": 12, "genes_by_reason": {"rfe": 9, "census": 2, "drivers": 1}}
    assert audit.audit_genes(CLEAN, of([], ["A", "C", "D"], **counts), [])[0].text == f"9 of 12 genes {said}"


def test_genes_chosen_without_labels_leak_nothing():
    assert audit.audit_genes(CLEAN, of([], []), [3]) == []


def test_it_is_always_said_whether_outcomes_chose_genes():
    none = [record | {"outcome_patients": []} for record in of([], [])]
    assert audit.outcome_line(none) == "No outcome was used to choose genes."
    some = [none[0] | {"outcome_patients": ["A", "B"]}, none[1] | {"outcome_patients": ["B"]}]
    assert audit.outcome_line(some) == "Outcomes of 2 patients were used to choose genes."
    assert "(1 of 2 gene manifests were made before this was noted)" in audit.outcome_line([none[0], *of([])])


@pytest.mark.parametrize(("seen", "text"), [([2, 2], "with 2 labels"), ([1, 2], "with 1 to 2 labels")])
def test_k_shot_genes_that_saw_more_labels_are_a_warning(seen, text):
    labels = [list(fold.train[:count]) for fold, count in zip(CLEAN, seen, strict=True)]
    (finding,) = audit.audit_genes(CLEAN, of(*labels), [3])
    assert (finding.level, finding.kind, finding.fold) == (WARNING, "few_shot_gene_labels", None)
    assert text in finding.text


def test_k_shot_genes_of_their_own_are_the_ones_that_count():
    seen = of(*(list(fold.train) for fold in CLEAN))
    assert audit.audit_genes(CLEAN, seen, [3], of([], [])) == []
    findings = audit.audit_genes(CLEAN, seen, [], of(["A"], ["A"]))
    assert found(findings) == {(LEAK, "gene_labels", 1, 1)}
    assert findings[0].text.startswith("genes of the k-shot settings")


def test_an_honest_protocol_has_no_finding():
    assert audit.audit_protocol(PROTOCOL_PRESETS["honest"]) == []
    assert audit.audit_protocol(PROTOCOL_PRESETS["honest-published"]) == []


def test_the_papers_protocol_has_two_leaks_and_three_warnings():
    findings = audit.audit_protocol(PROTOCOL_PRESETS["paper"])
    assert {(finding.level, finding.kind) for finding in findings} == {
        (LEAK, "epoch"),
        (LEAK, "survival_bins"),
        (WARNING, "few_shot_replacement"),
        (WARNING, "unit"),
        (WARNING, "resampled"),
    }


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("epoch", "best_on_evaluation", "epoch"),
        ("survival_bins", "cohort", "survival_bins"),
        ("few_shot_replacement", True, "few_shot_replacement"),
        ("unit", "slide", "unit"),
        ("probe_features", "resampled_dropout", "resampled"),
    ],
)
def test_each_single_change_is_found_by_itself(key, value, kind):
    findings = audit.audit_protocol(PROTOCOL_PRESETS["honest"] | {key: value})
    assert [finding.kind for finding in findings] == [kind]


def test_upstream_scaling_is_a_warning():
    assert audit.audit_transductive(scaled_upstream=False) == []
    (finding,) = audit.audit_transductive(scaled_upstream=True)
    assert finding.level == WARNING
    assert "whole cohort" in finding.text


def test_a_matrix_that_looks_standardised_is_a_warning_even_where_the_config_does_not_say_so():
    assert audit.audit_transductive(scaled_upstream=False, like_z_scores=0.2) == []
    (finding,) = audit.audit_transductive(scaled_upstream=False, like_z_scores=0.87)
    assert (finding.level, finding.kind) == (WARNING, "transductive_expression")
    assert "seems" in finding.text
    assert "87%" in finding.text


def test_findings_are_counted_by_kind():
    counts = audit.by_kind(audit_splits(rcc_like_folds([15, 10, 3, 10, 13]), {}, {}))
    assert counts.to_dict("records") == [{"level": LEAK, "kind": "patients_in_both", "size": 5}]
    assert audit.by_kind([]).empty


# The page, and what stops a run.


def record(tmp_path: Path, findings: list[Finding], *, claims: bool) -> Path:
    path = tmp_path / "audit.json"
    entry = {"protocol": "p", "cohort": "c", "claims_honest": claims, "findings": audit.to_records(findings)}
    path.write_text(json.dumps(entry))
    return path


def test_an_honest_claim_with_a_leak_stops_the_run_and_says_which(tmp_path):
    path = record(tmp_path, audit_splits(rcc_like_folds([15, 0, 3, 0, 0]), {}, {}), claims=True)
    with pytest.raises(MirrorflowError, match="p on c claims to be honest and has 2 leaks") as caught:
        fail_on_leak(str(path), strict=True)
    assert "fold 0: 15 patients are in train and val" in str(caught.value)
    assert "fold 2: 3 patients are in train and val" in str(caught.value)
    assert "`strict: false`" in str(caught.value)


def test_no_claim_no_leak_or_not_strict_lets_the_run_go_on(tmp_path):
    leaking = audit_splits(rcc_like_folds([15, 0, 0, 0, 0]), {}, {})
    warnings = audit_splits([Fold(("A", "A"), ("B",))], {}, {})
    fail_on_leak(str(record(tmp_path, leaking, claims=False)), strict=True)
    fail_on_leak(str(record(tmp_path, leaking, claims=True)), strict=False)
    fail_on_leak(str(record(tmp_path, warnings, claims=True)), strict=True)


def test_the_page_lists_every_finding():
    findings = audit_splits([Fold(("A", "B", "B"), ("B", "C"))], {}, {})
    entry = {"protocol": "honest", "cohort": "c", "claims_honest": True, "leaks": 1, "keys": {"unit": "slide"}}
    text = page(entry, findings)
    assert text.startswith("# Audit of honest on c\n\nThe protocol claims to be honest; 1 leaks, 1 warnings.")
    assert "- unit: slide" in text
    assert "| leak | fold 0 | 1 patients are in train and val | B |" in text
    assert "| warning | fold 0 | 1 patients are listed more than once in train | B |" in text
    assert page({**entry, "leaks": 0}, []).endswith("Nothing found.\n")


# The published folds.


def real_findings(cohort: str, folder: str) -> list[Finding]:
    path = SHARED / cohort / folder
    if not path.is_dir():
        pytest.skip(f"{path} is not there")
    folds = read_folds(path, 5)
    sites = {name: name[5:7] for fold in folds for name in (*fold.train, *fold.val)}
    return audit_splits(folds, sites, {})


@pytest.mark.parametrize("cohort", ["brca", "nsclc", "coadread"])
def test_published_folds_share_no_patient_but_sites(cohort):
    findings = real_findings(cohort, "splits")
    assert audit.leaks(findings) == []
    shared = [finding.count for finding in findings if finding.kind == "sites_in_both"]
    assert len(shared) == 5
    assert all(18 <= count <= 50 for count in shared)  # as FACTS.md counts them
    assert not [finding for finding in findings if finding.kind == "evaluation_overlap"]


@pytest.mark.parametrize("cohort", ["brca", "coadread"])
def test_site_stratified_folds_share_no_site(cohort):
    kinds = {finding.kind for finding in real_findings(cohort, "splits_site_stratified")}
    assert kinds.isdisjoint({"patients_in_both", "sites_in_both"})


# Inner folds.


def test_inner_folds_that_hold_evaluation_patients_or_share_patients_are_leaks():
    folds = [Fold(("A", "B", "C"), ("D",))]
    assert audit.audit_inner(folds, [[Fold(("A", "B"), ("C",))], [Fold(("C",), ("A", "B"))]]) == []
    findings = audit.audit_inner(folds, [[Fold(("A", "B"), ("B", "D"))]])
    assert [(f.level, f.kind, f.fold, f.examples) for f in findings] == [
        (LEAK, "inner_patients_in_both", 0, ("B",)),
        (LEAK, "inner_evaluated", 0, ("D",)),
    ]


@pytest.mark.parametrize(("seen", "leaked"), [(["A", "B"], ()), (["A", "C"], ("C",)), (["B", "D"], ("D",))])
def test_genes_of_an_inner_fold_see_labels_of_its_training_part_alone(seen, leaked):
    inner = [[Fold(("A", "B"), ("C",))]]
    findings = audit.audit_inner([Fold(("A", "B", "C"), ("D",))], inner, [of(seen)])
    assert [(f.kind, f.examples) for f in findings] == [("gene_labels", leaked)] * bool(leaked)


def test_a_nested_choice_of_the_epoch_is_no_leak():
    assert audit.audit_protocol(PROTOCOL_PRESETS["honest"] | {"epoch": "nested"}) == []

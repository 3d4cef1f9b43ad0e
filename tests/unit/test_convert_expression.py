import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mirrorflow.errors import ConfigError, InputError, SettingsMismatchError
from mirrorflow.expression import matrix, no_genes
from mirrorflow.steps.expression.convert_expression import convert_expression
from mirrorflow.steps.expression.matrix_look import look_at_matrix
from mirrorflow.store.expression import read_expression, read_record

TCGA = {"orientation": "genes_by_samples", "sample_ids": "tcga"}
OWN = {"orientation": "genes_by_samples", "sample_ids": "patient"}
MATRIX = """sample\tTCGA-AA-0002-01\tTCGA-AA-0001-01A\tTCGA-AA-0001-01B\tTCGA-AA-0002-11\tGTEX-1
ENST00000000001.2\t1\t2\t4\t9\t9
ENST00000000002.1\tNA\t\t6\t9\t9
ENST00000000003.1\t-9.9658\t0.5\tNaN\t9\t9
"""
SMALL = "id,P1,P2\ng1,1,2\ng2,3,4\n"


def converted(folder: Path, text: str, settings: dict, name: str = "m.tsv", **more) -> Path:
    (folder / name).write_text(text)
    convert_expression(folder / name, folder / "out.parquet", settings, **more)
    return folder / "out.parquet"


def counts(path: Path) -> dict:
    return json.loads(Path(f"{path}.json").read_text())["counts"]


def test_primary_tumours_are_kept_and_aliquots_averaged(tmp_path: Path):
    path = converted(tmp_path, MATRIX, TCGA)
    expression = read_expression(path)
    assert expression.patients == ["TCGA-AA-0001", "TCGA-AA-0002"]
    nan = np.nan
    np.testing.assert_allclose(expression.values, [[3, 6, 0.5], [1, nan, -9.9658]], rtol=1e-6)
    assert counts(path) == {
        "samples_read": 5,
        "samples_kept": 3,
        "samples_dropped_by_type": {"11": 1, "not TCGA": 1},
        "samples_of_other_patients": 0,
        "patients": 2,
        "patients_averaged": 1,
        "samples_averaged": 2,
        "genes": 3,
        "genes_without_symbol": 0,
        "values_missing": 1,
        "genes_like_z_scores": 0,
    }


@pytest.mark.parametrize(
    "word", ["'--", "Not Reported", "not available", "[Not Available]", "NA ", "na", "[Discrepancy]"]
)
@pytest.mark.parametrize("orientation", ["genes_by_samples", "samples_by_genes"])
def test_words_for_unknown_are_missing_values(tmp_path: Path, word: str, orientation: str):
    text = f"id,P1,P2\nP1,{word},2\nP2,3,4\n"
    path = converted(tmp_path, text, OWN | {"orientation": orientation}, "m.csv")
    assert np.isnan(read_expression(path).values).tolist() == [[True, False], [False, False]]
    assert counts(path)["values_missing"] == 1


def test_probes_of_an_unknown_gene_stand_for_themselves(tmp_path: Path):
    (tmp_path / "map").write_text("id\tgene\ng1\t?\ng2\tNot Available\n")
    path = converted(tmp_path, SMALL, OWN, "m.csv", probemap=tmp_path / "map")
    assert read_expression(path).symbols == ["g1", "g2"]
    assert counts(path)["genes_without_symbol"] == 2


def test_the_cohorts_patients_are_picked_and_symbols_mapped(tmp_path: Path):
    (tmp_path / "map").write_text("id\tgene\nENST00000000001.2\tTP53\nENST00000000002.9\tAKT1\n")
    path = converted(tmp_path, MATRIX, TCGA, probemap=tmp_path / "map", patients=["TCGA-AA-0002", "TCGA-ZZ-9999"])
    expression = read_expression(path)
    assert expression.patients == ["TCGA-AA-0002"]
    assert expression.symbols == ["TP53", "AKT1", "ENST00000000003.1"]
    assert counts(path)["samples_of_other_patients"] == 2
    assert counts(path)["genes_without_symbol"] == 1


@pytest.mark.parametrize("ending", ["tsv.gz", "csv", "parquet"])
@pytest.mark.parametrize("orientation", ["genes_by_samples", "samples_by_genes"])
def test_every_format_and_orientation_reads_the_same(tmp_path: Path, ending: str, orientation: str):
    values = np.random.default_rng(0).normal(0, 3, (50, 7)).astype(np.float32)
    frame = pd.DataFrame(values, [f"g{row}" for row in range(50)], [f"case{column}" for column in range(7)])
    table = frame if orientation == "genes_by_samples" else frame.T
    matrix = tmp_path / f"matrix.{ending}"
    if ending == "parquet":
        table.to_parquet(matrix)
    else:
        table.to_csv(matrix, sep="\t" if ending == "tsv.gz" else ",", index_label="sample")
    settings = {"orientation": orientation, "sample_ids": "patient"}
    convert_expression(matrix, tmp_path / "out.parquet", settings, patients=["case3", "case1", "case6"])
    expression = read_expression(tmp_path / "out.parquet", patients=["case3", "case1", "case6"])
    assert expression.ids == frame.index.tolist()
    np.testing.assert_allclose(expression.values, frame[["case3", "case1", "case6"]].to_numpy().T, rtol=1e-6)
    assert look_at_matrix(matrix, settings, 1).patients == sorted(frame.columns)


@pytest.mark.parametrize("orientation", ["genes_by_samples", "samples_by_genes"])
def test_many_chunks_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: str):
    monkeypatch.setattr("mirrorflow.expression.matrix.CHUNK_BYTES", 200)
    monkeypatch.setattr("mirrorflow.expression.matrix.GENES_AT_ONCE", 7)
    monkeypatch.setattr("mirrorflow.store.expression.ROWS_A_GROUP", 5)
    frame = pd.DataFrame(np.arange(160.0).reshape(40, 4), [f"g{row}" for row in range(40)], list("abcd"))
    table = frame if orientation == "genes_by_samples" else frame.T
    table.to_csv(tmp_path / "m.csv", sep=";")
    convert_expression(
        tmp_path / "m.csv", tmp_path / "out.parquet", {"orientation": orientation, "sample_ids": "patient"}
    )
    expression = read_expression(tmp_path / "out.parquet", patients=["d", "a"], genes=["g30", "g2", "g39"])
    assert expression.values.tolist() == [[123, 11, 159], [120, 8, 156]]


def test_finished_work_is_kept_and_other_settings_stop(tmp_path: Path):
    path = converted(tmp_path, SMALL, OWN)
    before = path.stat().st_mtime_ns
    convert_expression(tmp_path / "m.tsv", path, OWN)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(SettingsMismatchError, match="sample_ids: made with 'patient', this run wants 'tcga'"):
        convert_expression(tmp_path / "m.tsv", path, TCGA)
    (tmp_path / "m.tsv").write_text(SMALL.replace("4", "5"))
    convert_expression(tmp_path / "m.tsv", path, OWN)
    assert path.stat().st_mtime_ns > before, "of another matrix"


def test_a_lost_record_is_written_again(tmp_path: Path):
    path = converted(tmp_path, SMALL, OWN)
    record = Path(f"{path}.json")
    text = record.read_text()
    record.unlink()
    convert_expression(tmp_path / "m.tsv", path, OWN)
    assert record.read_text() == text


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("id,P1,P1\ng1,1,2\n", OWN, r"P1 \(2 times\)"),
        ("id,P1,P2\ng1,1,2\ng2,x7,4\n", OWN, r"line 3: row 'g2', column 'P1' holds 'x7'"),
        ("id,P1,P2\ng1,1,2\ng2,3\n", OWN, "3 columns"),
        ("id P1 P2\ng1 1 2\n", OWN, "single column"),
        ("id\tP1\tP2\ng1,1,2\n", OWN, r"delimiter '\\t'"),
        ("id,P1,P2\ng1,1,2\ng1,3,4\n", OWN, "twice: g1"),
        ("id,P1,P2\n", OWN, "no genes"),
        ("id,P1,P2\ng1,1,2\n", TCGA, "none of its 2 samples"),
        ("id,P1,P2\ng1,1,2\n", OWN | {"orientation": "sideways"}, "sideways"),
        ("id,P1,P2\ng1,1,2\n", OWN | {"sample_ids": "aliquot"}, "aliquot"),
    ],
)
def test_what_is_wrong_with_a_matrix_is_said(tmp_path: Path, text: str, settings: dict, message: str):
    with pytest.raises((InputError, ConfigError), match=message):
        converted(tmp_path, text, settings)
    assert not (tmp_path / "out.parquet").exists()


OTHER_SAMPLES = "gene\tTCGA-AA-0001-01\tTCGA-AA-0002-11\tTCGA-AA-0003-06A\nTP53\t1\t2\t3\n"


@pytest.mark.parametrize("patients", [None, ["TCGA-AA-0001", "TCGA-AA-0002", "TCGA-AA-0003"]])
def test_samples_named_by_patient_that_are_no_primary_tumours_are_left_out(tmp_path: Path, patients: list | None):
    path = converted(tmp_path, OTHER_SAMPLES, OWN, patients=patients)
    assert read_expression(path).patients == ["TCGA-AA-0001"]
    assert counts(path)["samples_dropped_by_type"] == {"06": 1, "11": 1}


def test_a_barcode_that_is_a_patients_name_as_it_stands_is_kept(tmp_path: Path):
    path = converted(tmp_path, OTHER_SAMPLES, OWN, patients=["TCGA-AA-0003-06A"])
    assert read_expression(path).patients == ["TCGA-AA-0003-06A"]


def test_a_matrix_of_other_samples_alone_says_so(tmp_path: Path):
    with pytest.raises(InputError, match=r"no primary tumour: 06 \(1\), 11 \(1\)"):
        converted(tmp_path, OTHER_SAMPLES, OWN, patients=["TCGA-AA-0002", "TCGA-AA-0003"])


@pytest.mark.parametrize("sample_ids", ["patient", "tcga"])
def test_a_sample_without_a_name_in_parquet_is_nobodys(tmp_path: Path, sample_ids: str):
    names = ["TCGA-AA-0001", None, "TCGA-AA-0002"]
    pd.DataFrame({"sample": names, "TP53": [1.0, 2, 3]}).to_parquet(tmp_path / "m.parquet", index=False)
    settings = {"orientation": "samples_by_genes", "sample_ids": sample_ids}
    convert_expression(tmp_path / "m.parquet", tmp_path / "out.parquet", settings, patients=list(filter(None, names)))
    assert read_expression(tmp_path / "out.parquet").values.tolist() == [[1], [3]]
    assert counts(tmp_path / "out.parquet")["samples_kept"] == 2


@pytest.mark.parametrize("wide", [0, 10**6])
@pytest.mark.parametrize("orientation", ["genes_by_samples", "samples_by_genes"])
def test_spaces_around_names_are_no_part_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wide: int, orientation: str
):
    monkeypatch.setattr(matrix, "WIDE", wide)
    text = "id\ta \t b\n c \t1\t2\nd \t3\t4\n"
    found = read_expression(converted(tmp_path, text, OWN | {"orientation": orientation}))
    genes = orientation == "genes_by_samples"
    assert (found.ids, found.patients) == ((["c", "d"], ["a", "b"]) if genes else (["a", "b"], ["c", "d"]))


def test_no_shared_patient_shows_both_sides(tmp_path: Path):
    with pytest.raises(InputError, match="Its samples: P1, P2; the cohort's patients: Q1, Q2, Q3"):
        converted(tmp_path, SMALL, OWN, patients=["Q1", "Q2", "Q3", "Q4"])


def test_a_truncated_gzip_is_said_to_be_truncated(tmp_path: Path):
    rows = "".join(f"g{row},{row},{row * 7 % 13}\n" for row in range(5000))
    whole = gzip.compress(("id,P1,P2\n" + rows).encode())
    (tmp_path / "m.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated or damaged"):
        convert_expression(tmp_path / "m.csv.gz", tmp_path / "out.parquet", OWN)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        convert_expression(tmp_path / "m.csv", tmp_path / "out.parquet", OWN)


def test_a_parquet_with_text_among_the_values_is_refused(tmp_path: Path):
    pd.DataFrame({"id": ["g1"], "name": ["x"], "P1": [1.0]}).to_parquet(tmp_path / "m.parquet", index=False)
    with pytest.raises(InputError, match=r"exactly one text column.*id, name"):
        convert_expression(tmp_path / "m.parquet", tmp_path / "out.parquet", OWN)


def test_a_real_matrix(tmp_path: Path):
    matrix = Path(__file__).parents[2].parent / "shared" / "tcga" / "coadread" / "rna.tsv.gz"
    if not matrix.exists():
        pytest.skip(f"{matrix} is absent")
    convert_expression(matrix, tmp_path / "out.parquet", TCGA)
    expression = read_expression(tmp_path / "out.parquet")
    table = pd.read_csv(matrix, sep="\t", index_col=0)
    assert expression.values.shape == (316, 1550)
    np.testing.assert_allclose(expression.values[0], table[f"{expression.patients[0]}-01"], rtol=1e-6)
    assert counts(tmp_path / "out.parquet")["genes_like_z_scores"] > 0.7 * 1550  # cBioPortal's z-scores


NO_GENES = ["__no_feature", "__ambiguous", "__too_low_aQual", "__not_aligned", "__alignment_not_unique", "N_unmapped",
            "N_multimapping", "N_noFeature", "N_ambiguous", "Unassigned_NoFeatures", "Assigned", "ERCC-00130", "", "NA",
            "?"]  # fmt: skip


@pytest.mark.parametrize("orientation", ["genes_by_samples", "samples_by_genes"])
def test_rows_that_are_no_genes_are_left_out_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, orientation: str
):
    genes = pd.DataFrame({"P1": 1.0, "P2": 2.0}, index=pd.Index(["TP53", *NO_GENES, "ERCC1"], name="id"))
    turned = genes if orientation == "genes_by_samples" else genes.T.rename_axis("id")
    path = converted(tmp_path, turned.to_csv(sep="\t", na_rep=""), OWN | {"orientation": orientation})
    assert read_expression(path).ids == ["TP53", "ERCC1"]
    assert counts(path)["rows_no_genes"] == len(NO_GENES)
    assert counts(path)["rows_no_genes_named"] == [name or "''" for name in NO_GENES]
    assert "15 rows are no genes: __no_feature" in caplog.text


def test_an_expression_file_of_a_time_when_they_were_genes_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    text = "id\tP1\tP2\nTP53\t1\t2\n__no_feature\t9\t9\n"
    with monkeypatch.context() as before:
        before.setattr(no_genes, "is_no_gene", lambda _: False)
        old = read_record(converted(tmp_path, text, OWN))["digest"]
    path = converted(tmp_path, text, OWN)
    assert read_expression(path).ids == ["TP53"]
    assert read_record(path)["digest"] != old
    made = path.stat().st_mtime_ns
    assert converted(tmp_path, text, OWN).stat().st_mtime_ns == made


FEATURE_COUNTS = """# Program:featureCounts v2.0.1; Command:"featureCounts" "-T" "4" "-o" "counts.txt" "P1.bam"
Geneid\tChr\tStart\tEnd\tStrand\tLength\tP1\tP2
TP53\tchr17;chr17\t1;9\t5;12\t-;-\t9\t10\t20
AKT1\tchr14\t1\t5\t-\t5\t30\t40
"""


def test_annotation_columns_of_featurecounts_are_no_patients(tmp_path: Path):
    path = converted(tmp_path, FEATURE_COUNTS, OWN)
    expression = read_expression(path)
    assert (expression.patients, expression.ids) == (["P1", "P2"], ["TP53", "AKT1"])
    assert expression.values.tolist() == [[10, 30], [20, 40]]
    assert counts(path)["annotation_columns"] == ["Chr", "Start", "End", "Strand", "Length"]
    assert (counts(path)["samples_read"], counts(path)["samples_of_other_patients"]) == (2, 0)
    assert look_at_matrix(tmp_path / "m.tsv", OWN, 100).patients == ["P1", "P2"]


def test_annotation_columns_of_a_parquet_matrix_are_no_ids(tmp_path: Path):
    frame = pd.DataFrame(
        {"Geneid": ["TP53", "AKT1"], "Chr": ["chr17", "chr14"], "Length": [9, 5], "P1": [1.0, 3.0], "P2": [2.0, 4.0]}
    )
    frame.to_parquet(tmp_path / "m.parquet", index=False)
    convert_expression(tmp_path / "m.parquet", tmp_path / "out.parquet", OWN)
    assert read_expression(tmp_path / "out.parquet").patients == ["P1", "P2"]


def test_a_matrix_without_a_gene_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"m\.tsv: no genes below \(or beside\) the header"):
        converted(tmp_path, "id\tP1\n__no_feature\t1\n", OWN)


# Few patients, very many genes.

FEW_PATIENTS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from pathlib import Path
from mirrorflow.steps.expression.convert_expression import convert_expression
settings = {"orientation": "samples_by_genes", "sample_ids": "patient"}
convert_expression(Path(sys.argv[1]), Path(sys.argv[2]), settings)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
"""Prints the peak in kB: getrusage's would count what the process that started this one holds."""


@pytest.mark.parametrize("genes", [15_000, 40_000])
def test_few_patients_of_very_many_genes_take_little_memory(tmp_path: Path, genes: int):
    """20,000 columns took 8 GB: Arrow kept every word for unknown once for each. Now 0.3 GB, as any matrix."""
    rows = [f"P{k}" + "\t0.5" * (genes - 1) + "\tNA" for k in range(3)]
    (tmp_path / "m.tsv").write_text("\n".join(["id\t" + "\t".join(f"g{k}" for k in range(genes)), *rows]) + "\n")
    command = [sys.executable, "-c", FEW_PATIENTS, str(tmp_path / "m.tsv"), str(tmp_path / "out.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-300:]
    assert int(done.stdout) < 700_000  # kB
    values = read_expression(tmp_path / "out.parquet").values
    assert values.shape == (3, genes)
    assert np.isnan(values).sum() == 3


WIDE_TABLE = """id,P1,P2,"P3"
g1,1,Not Reported,3.25e-3
"g2",-2,4,nan

g3,[Not Available],0.1,1e30
"""


@pytest.mark.parametrize("wide", [0, 10**6])
def test_rows_read_line_by_line_are_as_arrow_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wide: int):
    monkeypatch.setattr(matrix, "WIDE", wide)
    found = read_expression(converted(tmp_path, WIDE_TABLE, OWN, "m.csv"))
    assert found.ids == ["g1", "g2", "g3"]
    nan = np.nan
    expected = np.array([[1, -2, nan], [nan, 4, 0.1], [3.25e-3, nan, 1e30]], np.float32)
    np.testing.assert_array_equal(found.values, expected)


@pytest.mark.parametrize("wide", [0, 10**6])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("g9,1,x,3", r"line 6: row 'g9', column 'P2' holds 'x', which is no number"),
        ("g9,1,1_0,3", r"line 6: row 'g9', column 'P2' holds '1_0', which is no number"),
        ("g9,1,2", r"4 columns .delimiter ','.: every row needs as many"),
        ('g9,1,"2,3', r"line 6: the cell that begins with \"2,3 opens with a quote"),
    ],
)
def test_a_bad_line_is_named_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wide: int, line: str, said: str
):
    monkeypatch.setattr(matrix, "WIDE", wide)
    with pytest.raises(InputError, match=said):
        converted(tmp_path, WIDE_TABLE + line + "\n", OWN, "m.csv")


def test_a_parquet_matrix_of_more_columns_than_arrow_reads_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """pyarrow writes a million columns and refuses to read them: the file is whole, and wants to be transposed."""
    pd.DataFrame({"id": ["P1"], "g1": [1.0]}).to_parquet(tmp_path / "m.parquet")
    pyarrows = pq.ParquetFile

    def limited(path: Path, **options: object) -> pq.ParquetFile:
        return pyarrows(path, **options, thrift_container_size_limit=2)

    monkeypatch.setattr(pq, "ParquetFile", limited)
    settings = {"orientation": "samples_by_genes", "sample_ids": "patient"}
    with pytest.raises(InputError, match=r"m\.parquet: more columns than Arrow reads.*genes as rows"):
        convert_expression(tmp_path / "m.parquet", tmp_path / "out.parquet", settings)


@pytest.mark.parametrize(
    "word", ["label", "Age", "OS_MONTHS", "dss.time", "days_to_death", "vital_status", "os.cens", "Zensur"]
)
@pytest.mark.parametrize("orientation", ["genes_by_samples", "samples_by_genes"])
def test_columns_of_a_clinical_sheet_among_the_genes_are_refused(tmp_path: Path, word: str, orientation: str):
    genes = pd.DataFrame({"P1": [1.0, 5.5], "P2": [0.0, 6.5]}, index=pd.Index([word, "TP53"], name="id"))
    turned = genes if orientation == "genes_by_samples" else genes.T.rename_axis("id")
    settings = OWN | {"orientation": orientation}
    with pytest.raises(InputError, match=rf"m\.tsv: '{word}' among the genes.*take them out"):
        converted(tmp_path, turned.to_csv(sep="\t"), settings)
    with pytest.raises(InputError, match="among the genes"):
        look_at_matrix(tmp_path / "m.tsv", settings, 1e9)


def test_a_stored_file_with_clinical_columns_among_its_genes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    text = "id\tP1\tP2\nTP53\t1\t2\nlabel\t0\t1\n"
    with monkeypatch.context() as before:
        before.setattr(no_genes, "CLINICAL", re.compile("nothing"))
        converted(tmp_path, text, OWN)
    with pytest.raises(InputError, match="'label' among the genes"):
        converted(tmp_path, text, OWN)


def test_genes_with_short_and_plain_names_are_genes(tmp_path: Path):
    names = [
        "AGER",
        "TIMELESS",
        "CS",
        "MET",
        "AR",
        "T",
        "SET",
        "OS9",
        "STAT1",
        "GRADE1A",
        "SEX1",
        "REST",
        "DEAD1",
        "CENPA",
    ]
    rows = "".join(f"{name}\t1\t2\n" for name in names)
    assert read_expression(converted(tmp_path, f"id\tP1\tP2\n{rows}", OWN)).ids == names


UMLAUT = "id;Müller;P2\ng1;1.5;2\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"id;P1;P2\ng1;1,5;2,25\n", r"column 'P1' holds '1,5', which is no number; write the matrix with"),
        (b'id,P1,P2\ng1,"1,500",2\n', "holds '1,500', which is no number; write the matrix with decimal points"),
        (b"id,P1,P2\ng1,one,2\n", "holds 'one', which is no number; correct it or leave it empty"),
        (UMLAUT.encode("cp1252"), r"its header is not in UTF-8 \(is it Windows-1252\?\); save it as UTF-8"),
        ("id;P1;P2\nÄ;1;2\n".encode("cp1252"), r"invalid UTF8 data; save it as UTF-8 \(in Excel: CSV UTF-8\)"),
        (UMLAUT.encode("utf-16"), "text in UTF-16; save it as UTF-8"),
        (UMLAUT.encode("utf-16-le"), "text in UTF-16; save it as UTF-8"),
        (b"id,P1,P2\rg1,1,2\rg2,3,4\r", r"lines end with CR alone; save it with LF or CRLF \(in Excel: CSV UTF-8\)"),
        (b"# made by a Mac\rid,P1,P2\rg1,1,2\r", "lines end with CR alone; save it with LF or CRLF"),
        (bytes(range(1, 10)) + b"\xff\xfe\n", r"not a text table \(nor gzip, nor parquet\)"),
    ],
)
def test_a_matrix_that_is_not_written_so_says_how_to_write_it(tmp_path: Path, data: bytes, message: str):
    (tmp_path / "m.csv").write_bytes(data)
    with pytest.raises(InputError, match=rf"m\.csv.*{message}"):
        convert_expression(tmp_path / "m.csv", tmp_path / "out.parquet", OWN)

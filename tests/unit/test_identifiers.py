import io

import pytest

from mirrorflow.errors import InputError
from mirrorflow.expression.identifiers import SymbolMap, named_sample, read_probemap, tcga_sample, without_version


@pytest.mark.parametrize(
    ("barcode", "sample"),
    [
        ("TCGA-3C-AALI-01", ("TCGA-3C-AALI", "01")),
        ("TCGA-3C-AALI-11A-11R-A41B-07", ("TCGA-3C-AALI", "11")),
        ("TCGA-3C-AALI", ("TCGA-3C-AALI", "01")),
        ("GTEX-1117F-0226", None),
        ("TCGA-3C-AALIX-01", None),
    ],
)
def test_tcga_barcodes(barcode: str, sample: tuple[str, str] | None):
    assert tcga_sample(barcode) == sample


@pytest.mark.parametrize(
    ("identifier", "stem"),
    [
        ("ENST00000373020.8", "ENST00000373020"),
        ("ENSG00000000003", "ENSG00000000003"),
        ("ENSMUSG00000000001.4", "ENSMUSG00000000001"),
        ("ENST00000381657.7_PAR_Y", "ENST00000381657_PAR_Y"),
        ("AC000.1", "AC000.1"),
        ("TP53", "TP53"),
    ],
)
def test_versions_of_ensembl_ids(identifier: str, stem: str):
    assert without_version(identifier) == stem


def test_a_patients_name_is_cut_only_where_that_is_certain():
    assert named_sample("TCGA-3C-AALI-01", None) == ("TCGA-3C-AALI", "01")
    assert named_sample("P-01", None) == ("P-01", "01")
    assert named_sample("P-01", frozenset({"P-01", "P"})) == ("P-01", "01")
    assert named_sample("case7-01A", frozenset({"case7"})) == ("case7", "01")
    assert named_sample("case8-01", frozenset({"case7"})) == ("case8-01", "01")


def test_a_patients_name_says_which_sample_of_the_patient_it_is():
    known = frozenset({"TCGA-3C-AALI"})
    assert named_sample("TCGA-3C-AALI-11A-11R-A41B-07", None) == ("TCGA-3C-AALI", "11")
    assert named_sample("TCGA-3C-AALI-06", known) == ("TCGA-3C-AALI", "06")
    assert named_sample("TCGA-3C-AALX-06", known) == ("TCGA-3C-AALX-06", "06")
    assert named_sample("TCGA-3C-AALI-06", frozenset({"TCGA-3C-AALI-06"})) == ("TCGA-3C-AALI-06", "01")


def test_symbols_by_id_then_by_stem_then_the_id():
    probemap = read_probemap(io.BytesIO(b"#id\tgene\tchrom\nENST00000000001.2\tTP53\tchr17\nP1\tAKT1\tchr1\n"), "map")
    symbols = SymbolMap(probemap)
    assert symbols.symbols(["ENST00000000001.5", "P1", "ENST00000000009.1"]) == ["TP53", "AKT1", "ENST00000000009.1"]
    assert symbols.unmapped == 1


def test_without_a_map_the_ids_are_the_symbols():
    symbols = SymbolMap(None)
    assert symbols.symbols(["TP53"]) == ["TP53"]
    assert symbols.unmapped == 0


def test_a_map_without_its_columns_is_refused():
    with pytest.raises(InputError, match="gene"):
        read_probemap(io.BytesIO(b"id\tsymbol\n"), "map.tsv")


def test_a_probe_of_two_genes_is_refused_and_a_known_gene_outlasts_an_unknown_one():
    assert read_probemap(io.BytesIO(b"id\tgene\nP1\tAKT1\nP1\t?\nP1\tAKT1\n"), "map") == {"P1": "AKT1"}
    with pytest.raises(InputError, match=r"map\.tsv: P1 has two genes, AKT1 and TP53; keep one line"):
        read_probemap(io.BytesIO(b"id\tgene\nP1\tAKT1\nP1\tTP53\n"), "map.tsv")

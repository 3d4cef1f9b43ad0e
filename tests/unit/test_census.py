import pytest

from mirrorflow.errors import InputError
from mirrorflow.expression.census import CensusGene, match_census, parse_census

OLD = """Gene Symbol,Name,Tier,Tumour Types(Somatic),Role in Cancer,Synonyms
CDH1,cadherin 1,1,"lobular breast, gastric",TSG,"ENSG00000039068.18,uvomorulin"
VHL,"von Hippel-Lindau, tumour suppressor",1,"renal, hemangioma",TSG,
KMT2C,lysine methyltransferase 2C,2,medulloblastoma,TSG,MLL3
"""
NEW = """GENE_SYMBOL\tNAME\tTIER\tTUMOUR_TYPES_SOMATIC\tROLE_IN_CANCER\tSYNONYMS
CDH1\tcadherin 1\t1\tlobular breast, gastric\tTSG\t"ENSG00000039068.18,uvomorulin"
VHL\tvon Hippel-Lindau, tumour suppressor\t1\trenal, hemangioma\tTSG\t
KMT2C\tlysine methyltransferase 2C\t2\tmedulloblastoma\tTSG\tMLL3
"""


@pytest.mark.parametrize("text", [OLD, NEW, "\ufeff" + OLD])
def test_both_formats_hold_the_same(text: str):
    genes = parse_census(text, where="census")
    assert [gene.symbol for gene in genes] == ["CDH1", "VHL", "KMT2C"]
    assert genes[0].synonyms == ("ENSG00000039068.18", "uvomorulin")


@pytest.mark.parametrize("text", [OLD, NEW])
@pytest.mark.parametrize(
    ("tumour_types", "tiers", "symbols"),
    [
        (["Breast"], [1, 2], ["CDH1"]),
        (["breast", "renal"], [1], ["CDH1", "VHL"]),
        ([], [2], ["KMT2C"]),
    ],
)
def test_tumour_types_and_tiers(text: str, tumour_types: list[str], tiers: list[int], symbols: list[str]):
    genes = parse_census(text, where="census", tumour_types=tumour_types, tiers=tiers)
    assert [gene.symbol for gene in genes] == symbols


def test_a_tumour_type_begins_a_word():
    text = (
        "GENE_SYMBOL\tTUMOUR_TYPES_SOMATIC\tTIER\n"
        "VHL\trenal, haemangioma\t1\n"
        "KCNJ5\tadrenal\t1\n"
        "CACNA1D\tadrenal aldosterone producing adenoma\t1\n"
        "PBRM1\tclear cell renal carcinoma, breast\t1\n"
        "MET\tpapillary Renal\t1\n"
        "TP53\tother tumour types, non-renal\t1\n"
    )
    found = parse_census(text, where="census", tumour_types=["renal"])
    assert [gene.symbol for gene in found] == ["VHL", "PBRM1", "MET", "TP53"]  # a hyphen parts words


def test_nothing_that_passes_is_refused_with_what_is_there():
    with pytest.raises(InputError, match="gastric"):
        parse_census(OLD, where="census.csv", tumour_types=["brest"])


def test_ones_own_list_takes_comments_and_blank_lines():
    genes = parse_census("# mine\nTP53\n\nNKX2-1 # lung\nTP53\n", where="mine.txt")
    assert [gene.symbol for gene in genes] == ["TP53", "NKX2-1"]


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_list_is_refused(text: str):
    with pytest.raises(InputError, match="no genes"):
        parse_census(text, where="mine.txt")


def test_another_table_is_refused_with_its_line():
    with pytest.raises(InputError, match="line 1: 'gene,weight'"):
        parse_census("gene,weight\nTP53,1\n", where="mine.csv")


def test_genes_are_found_by_symbol_then_synonym_and_the_rest_is_named():
    genes = [CensusGene("KMT2C", ("MLL3",)), CensusGene("TP53", ("P53",)), CensusGene("H3-3A", ("H3F3A",))]
    match = match_census(genes, ["MLL3", "TP53", "P53", "TP53", "ACTB"])
    assert match.positions == [0, 1, 3]
    assert match.unmatched == ["H3-3A"]

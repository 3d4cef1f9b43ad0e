"""Xena's files from a server on this machine, in the real formats, to the store and on to parquet and tables."""

import gzip
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from file_server import FileServer, answering, cut_after, serving
from mirrorflow.errors import InputError
from mirrorflow.steps.cohort.clinical_tables import clinical_sheet
from mirrorflow.steps.cohort.download_dataset import download_dataset, refuse
from mirrorflow.steps.expression.convert_expression import convert_expression
from mirrorflow.store.expression import read_expression

SAMPLES = [f"TCGA-AA-{number:04d}-01" for number in range(40)]
ADDRESS = "/download/tcga_RSEM_isoform_fpkm.gz"
PROBEMAP_ADDRESS = "/download/probeMap%2Fgencode.v23.annotation.transcript.probemap"
CLINICAL_ADDRESS = "/download/TCGA.BRCA.sampleMap%2FBRCA_clinicalMatrix"
SURVIVAL_ADDRESS = "/download/Survival_SupplementalTable_S1_20171025_xena_sp"
XML = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>' + b" " * 600
RIGHT_LENGTH = b"The hub is being updated. Please come back later. " * 40


def matrix() -> bytes:
    """log2(FPKM + 0.001) of twelve transcripts, as the Toil hub writes them."""
    values = np.random.default_rng(0).normal(size=(12, 40))
    rows = [f"ENST{number:011d}.4\t" + "\t".join(f"{value:.4f}" for value in row) for number, row in enumerate(values)]
    return gzip.compress(("sample\t" + "\t".join(SAMPLES) + "\n" + "\n".join(rows) + "\n").encode(), mtime=0)


def probemap() -> bytes:
    """All transcripts of the matrix but the last, and some that it lacks."""
    numbers = [*range(11), *range(100, 110)]
    rows = [f"ENST{number:011d}.4\tG{number}\tchr1\t{number}000\t{number}900\t+" for number in numbers]
    return ("id\tgene\tchrom\tchromStart\tchromEnd\tstrand\n" + "\n".join(rows) + "\n").encode()


def clinical_matrix() -> bytes:
    rows = [f"{sample}\t{sample[:12]}\tInfiltrating Ductal Carcinoma\tFEMALE" for sample in SAMPLES]
    return ("sampleID\t_PATIENT\thistological_type\tgender\n" + "\n".join(rows) + "\n").encode()


def survival() -> bytes:
    head = "sample\t_PATIENT\tcancer type abbreviation\tOS\tOS.time\tDSS\tDSS.time\tDFI\tDFI.time\tPFI\tPFI.time\n"
    rows = [
        f"{sample}\t{sample[:12]}\tBRCA\t{number % 2}\t{100 + number}\t0\t{100 + number}\t\t\t1\t50"
        for number, sample in enumerate(SAMPLES)
    ]
    return (head + "\n".join(rows) + "\n").encode()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        running.files[ADDRESS] = matrix()
        running.files[PROBEMAP_ADDRESS] = probemap()
        running.files[CLINICAL_ADDRESS] = clinical_matrix()
        running.files[SURVIVAL_ADDRESS] = survival()
        yield running


def fetch(hub: FileServer, folder: Path, address: str = ADDRESS, **known: object) -> Path:
    destination = folder / "set" / address.replace("%2F", "/").rsplit("/", 1)[-1]
    destination.parent.mkdir(parents=True, exist_ok=True)
    dataset = {"url": hub.url + address, "size": None, "checksum": ""} | known
    download_dataset(dataset, destination, pause=lambda _: None)
    return destination


def test_xenas_files_arrive_and_are_read(hub: FileServer, tmp_path: Path):
    sources = {address: fetch(hub, tmp_path, address) for address in hub.files}
    assert [path for _, path, _ in hub.requests] == list(hub.files)  # %2F is sent as it is
    destination = tmp_path / "brca.parquet"
    settings = {"orientation": "genes_by_samples", "sample_ids": "tcga"}
    convert_expression(sources[ADDRESS], destination, settings, probemap=sources[PROBEMAP_ADDRESS])
    expression = read_expression(destination)
    assert expression.patients == [sample[:12] for sample in SAMPLES]
    assert expression.symbols == [*(f"G{number}" for number in range(11)), "ENST00000000011.4"]
    assert json.loads(Path(f"{destination}.json").read_text())["counts"]["genes_without_symbol"] == 1
    tables = {"survival": str(sources[SURVIVAL_ADDRESS]), "matrix": str(sources[CLINICAL_ADDRESS])}
    sheet = clinical_sheet(tables | {"label": "histological_type", "outcome": "OS"})
    assert (sheet["time_days"].tolist()[:2], sheet["event"].tolist()[:2]) == ([100, 101], [0, 1])


def test_a_cut_download_goes_on_and_its_checksum_is_pinned(hub: FileServer, tmp_path: Path):
    hub.mishaps.append(cut_after(1500))
    destination = fetch(hub, tmp_path)
    assert destination.read_bytes() == hub.files[ADDRESS]
    assert [headers.get("Range") for _, _, headers in hub.requests] == [None, "bytes=1500-"]
    record = json.loads((tmp_path / "set" / "content" / f"{destination.name}.json").read_text())
    assert record["sha256"] == hashlib.sha256(hub.files[ADDRESS]).hexdigest()
    assert (record["size"], record["url"]) == (len(hub.files[ADDRESS]), hub.url + ADDRESS)


def test_a_deleted_link_is_made_again_without_a_download(hub: FileServer, tmp_path: Path):
    destination = fetch(hub, tmp_path)
    destination.unlink()  # what Snakemake does before a rule runs again
    assert fetch(hub, tmp_path).read_bytes() == hub.files[ADDRESS]
    assert len(hub.requests) == 1


def test_another_file_under_the_same_address_is_refused_by_the_pinned_checksum(hub: FileServer, tmp_path: Path):
    destination = fetch(hub, tmp_path)
    content = tmp_path / "set" / "content" / destination.name
    content.unlink()
    changed = bytearray(hub.files[ADDRESS])
    changed[-1] ^= 1
    hub.files[ADDRESS] = bytes(changed)
    with pytest.raises(InputError, match=r"were pinned on .*: delete .*fpkm\.gz\.json to take another"):
        fetch(hub, tmp_path)
    content.with_name(f"{content.name}.json").unlink()
    assert fetch(hub, tmp_path).read_bytes() == bytes(changed)


def test_a_file_that_changed_on_disk_is_refused(hub: FileServer, tmp_path: Path):
    destination = fetch(hub, tmp_path)
    content = tmp_path / "set" / "content" / destination.name
    content.write_bytes(content.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"its sha256 is .* instead of .*delete it to have it fetched again"):
        fetch(hub, tmp_path)
    content.write_bytes(content.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"bytes instead of"):
        fetch(hub, tmp_path)


def test_a_file_put_there_by_hand_is_taken_and_pinned(hub: FileServer, tmp_path: Path):
    content = tmp_path / "set" / "content" / "tcga_RSEM_isoform_fpkm.gz"
    content.parent.mkdir(parents=True)
    content.write_bytes(matrix())
    fetch(hub, tmp_path)
    assert hub.requests == []
    assert content.with_name(f"{content.name}.json").exists()


@pytest.mark.parametrize("body", [XML, b"<html><body>Sorry</body></html>" + b" " * 600, b"gone", RIGHT_LENGTH])
def test_an_error_page_with_status_200_is_tried_again_and_never_kept(hub: FileServer, tmp_path: Path, body: bytes):
    hub.mishaps.append(answering(200, body))
    assert fetch(hub, tmp_path).read_bytes() == hub.files[ADDRESS]
    hub.files[ADDRESS] = body
    with pytest.raises(InputError, match=r"not downloaded.*downloads.<name>.url"):
        fetch(hub, tmp_path / "other")
    assert not (tmp_path / "other" / "set" / "tcga_RSEM_isoform_fpkm.gz").exists()


def test_a_table_is_told_from_prose(hub: FileServer, tmp_path: Path):
    hub.mishaps.append(answering(200, RIGHT_LENGTH))
    assert fetch(hub, tmp_path, SURVIVAL_ADDRESS).read_bytes() == survival()
    assert refuse("x.gz", matrix()) is None
    assert "not a gzip file" in str(refuse("x.gz", survival()))
    assert "3 bytes" in str(refuse("x", b"a\tb"))


def test_a_new_address_is_not_answered_with_the_old_file(hub: FileServer, tmp_path: Path):
    destination = fetch(hub, tmp_path)
    content, record = (tmp_path / "set/content" / f"{destination.name}{end}" for end in ("", ".json"))
    version_2 = "/v2/tcga_RSEM_isoform_fpkm.gz"
    hub.files[version_2] = gzip.compress(gzip.decompress(matrix()).replace(b"sample", b"names"), mtime=0)
    with pytest.raises(InputError, match=rf"fetched from {hub.url}{ADDRESS}, the config names {hub.url}{version_2}: "):
        fetch(hub, tmp_path, version_2)
    assert len(hub.requests) == 1
    content.unlink()
    record.unlink()
    assert fetch(hub, tmp_path, version_2).read_bytes() == hub.files[version_2]
    assert json.loads(record.read_text())["url"] == hub.url + version_2


def test_a_mirror_of_the_same_file_is_named_in_the_record_from_then_on(hub: FileServer, tmp_path: Path):
    destination = fetch(hub, tmp_path)
    content, record = (tmp_path / "set/content" / f"{destination.name}{end}" for end in ("", ".json"))
    mirror, other = "/mirror/tcga_RSEM_isoform_fpkm.gz", "/other/tcga_RSEM_isoform_fpkm.gz"
    hub.files |= {mirror: matrix(), other: matrix()}
    fetch(hub, tmp_path, mirror, checksum=f"sha256:{hashlib.sha256(matrix()).hexdigest()}")
    assert json.loads(record.read_text())["url"] == hub.url + mirror
    fetch(hub, tmp_path, mirror)
    content.unlink()
    fetch(hub, tmp_path, other)  # its bytes are the pinned ones
    assert json.loads(record.read_text())["url"] == hub.url + other
    fetch(hub, tmp_path, other)
    assert [path for _, path, _ in hub.requests] == [ADDRESS, other]


def test_another_version_fetched_under_its_checksum_is_pinned_in_place_of_the_old(hub: FileServer, tmp_path: Path):
    destination = fetch(hub, tmp_path)
    (tmp_path / "set/content" / destination.name).unlink()
    hub.files[ADDRESS] = gzip.compress(gzip.decompress(matrix()).replace(b"sample", b"names"), mtime=0)
    fetch(hub, tmp_path, checksum=f"sha256:{hashlib.sha256(hub.files[ADDRESS]).hexdigest()}")
    assert fetch(hub, tmp_path).read_bytes() == hub.files[ADDRESS]


SHORT = b"sample\tOS\nTCGA-AA-0001-01\t1\n"
ONE_SET = b"Kinases\n" + b"".join(b"GENE%d\n" % number for number in range(100))


@pytest.mark.parametrize(("address", "body"), [("/a.tsv", SHORT), ("/b.txt", ONE_SET), ("/c.csv", ONE_SET[:80])])
def test_a_small_file_is_told_by_its_checksum(hub: FileServer, tmp_path: Path, address: str, body: bytes):
    hub.files[address] = body
    with pytest.raises(InputError, match=r"if it is the file, give `downloads\.<name>\.checksum`"):
        fetch(hub, tmp_path / "unknown", address)
    checksum = f"md5:{hashlib.md5(body).hexdigest()}"
    assert fetch(hub, tmp_path, address, checksum=checksum).read_bytes() == body
    assert fetch(hub, tmp_path, address).read_bytes() == body  # now it is pinned
    hub.mishaps.append(answering(200, b"busy"))
    assert fetch(hub, tmp_path / "again", address, checksum=checksum).read_bytes() == body
    hub.files[address] = b"<html>Sorry</html>"
    with pytest.raises(InputError, match="HTML page"):
        fetch(hub, tmp_path / "page", address, checksum=checksum)


def test_a_list_of_one_gene_set_has_no_separator(hub: FileServer, tmp_path: Path):
    hub.files["/one_set.csv"] = ONE_SET
    assert fetch(hub, tmp_path, "/one_set.csv").read_bytes() == ONE_SET


def test_a_listed_checksum_and_size_are_held(hub: FileServer, tmp_path: Path):
    md5 = hashlib.md5(hub.files[ADDRESS]).hexdigest()
    fetch(hub, tmp_path / "good", checksum=f"md5:{md5}", size=len(hub.files[ADDRESS]))
    with pytest.raises(InputError, match="md5"):
        fetch(hub, tmp_path / "bad", checksum="md5:" + "0" * 32)
    with pytest.raises(InputError, match="bytes"):
        fetch(hub, tmp_path / "short", size=7)


def test_a_missing_data_set_names_its_address_and_the_mend(hub: FileServer, tmp_path: Path):
    with pytest.raises(InputError, match=r"/download/gone\.gz: not downloaded: status 404"):
        fetch(hub, tmp_path, "/download/gone.gz")


def test_progress_is_shown(hub: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    noise = np.random.default_rng(0).bytes(3_000_000)
    hub.files["/download/big.gz"] = gzip.compress(noise, 1)
    with caplog.at_level(logging.INFO, "mirrorflow"):
        fetch(hub, tmp_path, "/download/big.gz")
    assert "MB" in caplog.text

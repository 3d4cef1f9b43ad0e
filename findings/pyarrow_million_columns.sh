#!/usr/bin/env bash
# pyarrow 26.0.1: a parquet file of a million columns is written without a word and then not opened.
#
# Expression with samples as rows and isoforms as columns, or methylation with its 850,000 and more probes, comes to a
# million columns. `pyarrow.parquet.write_table` writes such a table, whole and valid. `ParquetFile` and `read_table`
# say "Couldn't deserialize thrift: TProtocolException: Exceeded size limit", which reads like a damaged file: the list
# of columns in its footer is longer than `thrift_container_size_limit` (1,000,000, the root counts as one). With a
# higher limit the same file is read.
# What to do: genes as rows; or, reading others' files, tell this error from damage (mirrorflow:
# expression/parquet_reading.py).
# Fails where pyarrow behaves otherwise. Takes about a minute and 3 GB of memory.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import pyarrow as pa
import pyarrow.parquet as pq


def write(columns):
    one = pa.array([0.5], pa.float32())
    table = pa.Table.from_arrays([one] * columns, names=[f"p{number}" for number in range(columns)])
    pq.write_table(table, "wide.parquet", use_dictionary=False, write_statistics=False)


write(999_999)
assert pq.ParquetFile("wide.parquet").metadata.num_columns == 999_999
write(1_000_000)
try:
    pq.ParquetFile("wide.parquet")
except OSError as error:
    assert "TProtocolException: Exceeded size limit" in str(error), error
    print(f"pyarrow {pa.__version__}, 1,000,000 columns that it wrote: {str(error).strip()}")
else:
    raise SystemExit("a million columns are read now")
read = pq.ParquetFile("wide.parquet", thrift_container_size_limit=2_000_000, thrift_string_size_limit=2**31 - 1)
assert read.metadata.num_columns == 1_000_000
print("with thrift_container_size_limit=2,000,000 they are read")
PYTHON

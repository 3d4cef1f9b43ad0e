#!/bin/sh
# The GPU paths on one GPU, in at most eight minutes, the telling figures first:  sh benchmarks/gpu.sh [FOLDER] [--small]
#
# Runs on a bare machine: Python 3.12 with torch and timm, no network, no snakemake, no slides. The parts that want more
# fail by themselves without it; it may lie as wheels in `benchmarks/wheels/`, which git ignores (a few MB):
#   pip download --only-binary :all: --no-deps --python-version 3.12 -d benchmarks/wheels h5py nystrom-attention einops
# Results are written to FOLDER (default: $OUT, else results-gpu) as they come: gpu.txt, and gpu.json at the end.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
folder=${OUT:-results-gpu}
case "${1:-}" in "" | --*) ;; *) folder=$1; shift ;; esac
mkdir -p "$folder"
python=${PYTHON:-python3}
wheels=$here/benchmarks/wheels
paths=$here/workflow
if [ -d "$wheels" ]; then
    mkdir -p "$folder/packages"
    for wheel in "$wheels"/*.whl; do
        [ -e "$wheel" ] && "$python" -m zipfile -e "$wheel" "$folder/packages"
    done
    paths=$paths:$folder/packages
fi
nvidia-smi --query-gpu=name,driver_version,compute_mode,memory.total --format=csv,noheader || echo "no nvidia-smi"
export CUBLAS_WORKSPACE_CONFIG=:4096:8 PYTHONPATH="$paths"
exec timeout "${LIMIT_S:-480}" "$python" -u "$here/benchmarks/gpu.py" --out "$folder" "$@"

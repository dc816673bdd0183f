#!/usr/bin/env bash
# Every measurement that needs a CUDA device: the CUDA tests, then the speed commands.
#
#   benchmarks/gpu.sh [FOLDER]     # JSON, tables and the figure go to FOLDER, runs/gpu if not given
#
# Uses .venv where there is one, else the python3 that has l2o installed.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/gpu}
mkdir -p "$out"
python=python3
[ -x .venv/bin/python ] && python=.venv/bin/python
"$python" -m pytest -q tests/test_env.py tests/test_stacked.py tests/test_stacked_device.py \
  tests/test_benchmark_stacked.py tests/test_reader.py -k cuda
for precision in float32 tf32 bf16; do
  "$python" -m l2o.benchmarks.speed stacked --device cuda --precision "$precision" \
    --json "$out/stacked-$precision.json"
done
"$python" -m l2o.benchmarks.speed page "$out"/stacked-*.json --picture "$out/stacked.png" \
  > "$out/stacked.md"
"$python" -m l2o.benchmarks.speed precision --device cuda --json "$out/precision.json"
"$python" -m l2o.benchmarks.speed cells demo policy=asg-base finetuning.device=cuda \
  --json "$out/cells.json"
"$python" -m l2o.benchmarks.speed controller --device cuda --json "$out/controller.json"

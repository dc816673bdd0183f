#!/usr/bin/env bash
# Every measurement that needs a CUDA device: the CUDA tests, then the speed commands.
#
#   benchmarks/gpu.sh [FOLDER]     # JSON, tables and the figure go to FOLDER, runs/gpu if not given
#
# Uses .venv where there is one, else the python3 and the l2o that are installed.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/gpu}
mkdir -p "$out"
python=python3 l2o=l2o
[ -x .venv/bin/python ] && python=.venv/bin/python l2o=.venv/bin/l2o
"$python" -m pytest -q tests/test_env.py tests/test_stacked.py tests/test_stacked_device.py \
  tests/test_benchmark_stacked.py tests/test_reader.py -k cuda
for precision in float32 tf32 bf16; do
  "$l2o" speed stacked --device cuda --precision "$precision" \
    --json "$out/stacked-$precision.json"
done
"$l2o" speed page "$out"/stacked-*.json --picture "$out/stacked.png" \
  > "$out/stacked.md"
"$l2o" speed precision --device cuda --json "$out/precision.json"
"$l2o" speed cells demo policy=asg-base finetuning.device=cuda \
  --json "$out/cells.json"
"$l2o" speed controller --device cuda --json "$out/controller.json"
# Reading ahead by 4 processes, as `l2o finetune` does; rounds long enough that what was read ahead
# while others had their turn counts for little.
"$l2o" speed images --device cuda --precision bf16 --network timm:resnet50 --size 224 \
  --batch-size 64 --workers 4 --images 2000 --steps 60 --json "$out/images.json"

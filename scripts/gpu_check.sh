#!/usr/bin/env bash
# What can be shown on a GPU alone, in under four minutes and without a network: the tests that need one, the benchmark
# for MiniLM and for a BERT-base of random weights, a training that is stopped and resumed, and with DATA (the course's
# folder) three epochs of MiniLM with SMART. Each part has a time limit of its own; a table comes last, JSON lies in OUT.
#
#   scripts/gpu_check.sh OUT [DATA]
#
# The packages must be importable (typer, rich, platformdirs, pandas, scipy, tokenizers, safetensors, transformers,
# pytest), and so must the package of the encoder "minilm". DEVICE=cpu tries the script itself, with smaller sizes;
# COMPILED=1 adds the loop that torch.compile makes, which takes minutes more; PARTS="tests minilm" does only those.
set -uo pipefail
out=${1:?usage: scripts/gpu_check.sh OUT [DATA]}
data=${2:-}
device=${DEVICE:-cuda}
python=${PYTHON:-python3}
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
mkdir -p "$out"
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export SMART_HOME="$home" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
steps=20 times=1
[ "$device" = cpu ] && steps=2 times=6

part() { # part NAME SECONDS COMMAND…: run it within its time, its output in OUT/NAME.log, and note how it ended
  local name=$1 limit=$2 began=$SECONDS code
  shift 2
  [[ -n ${PARTS:-} && " $PARTS " != *" $name "* ]] && return
  timeout --kill-after=5 "$((limit * times))" "$@" >"$out/$name.log" 2>&1
  code=$?
  printf '{"part": "%s", "exit": %d, "seconds": %d}\n' "$name" "$code" "$((SECONDS - began))" >>"$out/parts.jsonl"
}

smart() { "$python" -m smartcli "$@"; }

stopped_and_resumed() { # two trainings, one of them stopped by SIGTERM within an epoch; equal bytes or exit 1
  local options=(finetune --schedule simultaneous --lambda 1 --epochs 2 --device "$device" --data demo --rows 160)
  smart prepare demo && smart "${options[@]}" --name whole || return 1
  "$python" -m smartcli "${options[@]}" --name parts &
  local child=$!
  for _ in $(seq 400); do
    [ "$(cat "$home"/runs/parts/log.jsonl 2>/dev/null | grep -c '"event": *"step"')" -ge 2 ] && break
    sleep 0.1
  done
  kill -TERM "$child" 2>/dev/null
  wait "$child"
  echo "the stopped run ended with exit $?"
  smart "${options[@]}" --name parts --resume || return 1
  for file in model.safetensors heads.safetensors predictions-dev.csv; do
    cmp "$home"/checkpoints/whole/$file "$home"/checkpoints/parts/$file || return 1
  done
  echo "weights and predictions are bit-equal"
}

three_epochs() { # MiniLM on the course's files, as docs/results.md has it from a CPU
  smart prepare cs224n --path "$data" --name course --encoder minilm || return 1
  local began=$SECONDS
  smart finetune --data course --schedule simultaneous --lambda 1 --epochs 3 --lr 5e-5 --clip-norm 1 --seed 1 \
    --device "$device" --name three || return 1
  printf '{"seconds": %d}\n' "$((SECONDS - began))" >"$out/three-epochs.json"
  smart show three --json >"$out/three-epochs-checkpoint.json"
}

export -f smart stopped_and_resumed three_epochs
export python device data home out
rm -f "$out/parts.jsonl"
"$python" -c 'import torch; print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")' >"$out/card.txt"
if [ "$device" = cuda ]; then
  part tests 100 "$python" -m pytest -q -n 4 -m "gpu or not gpu" tests/engine/test_gpu.py tests/engine/kernels \
    tests/engine/training/test_replay.py
else
  part tests 100 "$python" -m pytest -q tests/engine/training/test_replay.py
fi
source=()
[ -n "$data" ] && source=(--cs224n "$data")
part minilm 60 "$python" -m benchmarks --device "$device" "${source[@]}" --steps $steps --output "$out/minilm.json"
[ "$device" = cuda ] && part base 60 "$python" -m benchmarks --device "$device" "${source[@]}" --steps $steps \
  --encoder random:bert-base --precision bf16 --output "$out/bert-base.json"
if [ -n "${COMPILED:-}" ]; then # the strongest other loop, whose compiling takes minutes
  part minilm-compiled 90 "$python" -m benchmarks --device "$device" "${source[@]}" --steps $steps --compiled \
    --no-costs --precision bf16 --output "$out/minilm-compiled.json"
  part bert-base-compiled 150 "$python" -m benchmarks --device "$device" "${source[@]}" --steps $steps --compiled \
    --no-costs --encoder random:bert-base --precision bf16 --output "$out/bert-base-compiled.json"
fi
part resume 60 bash -c stopped_and_resumed
[ -n "$data" ] && part three-epochs 100 bash -c three_epochs
"$python" scripts/gpu_table.py "$out"

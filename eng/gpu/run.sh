#!/usr/bin/env bash
# Runs the CUDA tests and the GPU benchmarks on a machine with an NVIDIA Hopper GPU, CUDA 13 and cuDNN 9, from what
# eng/gpu/prepare.sh made. Unpacks whichever of the two archives is there; with only the runtime it stops after unpacking.
# usage: run.sh [unpack|tests|goldens|bench|all]...   (TEST_ARGS goes to the test programs; MODELS and PRECISIONS
# choose the training steps of bench)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
home=${GPU_HOME:-/tmp/attention-gpu}
python=${PYTHON:-/opt/torch/.venv/bin/python}
mkdir -p "$home"
for archive in "$root"/.gpu/{runtime/ort-cuda,data/data,app/app}.tar.xz; do
  [ -f "$archive" ] && tar xJf "$archive" -C "$home"
done
[ -d "$home/app" ] || { echo "runtime unpacked into $home; no program yet"; exit 0; }
[ -d "$home/ort-cuda" ] || { echo "no ONNX Runtime in $home: send .gpu/runtime first" >&2; exit 1; }
site=$("$python" -c 'import site; print(site.getsitepackages()[0])')
libraries=$(find "$site/nvidia" "$site/torch/lib" -maxdepth 2 -name lib -type d 2>/dev/null | paste -sd:)
export LD_LIBRARY_PATH="$home/ort-cuda:$libraries:$site/torch/lib:${LD_LIBRARY_PATH:-}"
cp -n "$home"/ort-cuda/* "$home/app" 2>/dev/null || true
cd "$root"
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
failed=0
for what in "${@:-all}"; do
  case $what in
    unpack) ;;
    tests | all)
      for tests in "$home"/app/*.Tests; do
        "$tests" ${TEST_ARGS:-} || failed=1
      done ;;&
    goldens | all)
      if [ -d "$home/app/goldens" ]; then
        "$home/app/Goldens" --provider cuda "$home/app/goldens" || failed=1
      else
        echo "goldens: not run, prepare.sh found no ../shared/goldens"
      fi ;;&
    bench | all)
      for model in ${MODELS:-biformer_tiny tnt_s_patch16_224 raftmlp_s}; do
        for precision in ${PRECISIONS:-tf32 amp}; do
          "$home/app/Benchmarks" training --device cuda --model $model --precision $precision --python "$python" || failed=1
        done
      done
      for precision in fp32 tf32 fp16; do
        "$home/app/Benchmarks" inference --device cuda --precision $precision --python "$python" || failed=1
      done
      "$home/app/Benchmarks" detection --device cuda --python "$python" || failed=1
      for precision in fp32 tf32 fp16; do
        "$home/app/Benchmarks" segmentation --device cuda --precision $precision --python "$python" || failed=1
      done
      "$home/app/Benchmarks" ops --device cuda || failed=1 ;;
  esac
done
exit $failed

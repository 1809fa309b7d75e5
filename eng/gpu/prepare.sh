#!/usr/bin/env bash
# Prepares .gpu/ for a run on a GPU machine without .NET (eng/gpu/run.sh there):
#   .gpu/runtime/ort-cuda.tar.xz  ONNX Runtime with its CUDA provider, made once from ../shared/gpu (a stand-in for the package
#                                 Microsoft.ML.OnnxRuntime.Gpu, which an application references in the ordinary way)
#   .gpu/app/app.tar.xz           the test programs, published self-contained
#   .gpu/data/data.tar.xz         the folder DATA, where that is set
# usage: prepare.sh [--runtime-from FILE]   (PROGRAMS and GOLDENS choose among the test programs and the families of reference cases)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
mkdir -p .gpu/runtime .gpu/app
if [ "${1:-}" = --runtime-from ]; then
  cp "$2" .gpu/runtime/ort-cuda.tar.xz
elif [ ! -f .gpu/runtime/ort-cuda.tar.xz ]; then
  bash ../shared/gpu/make-ort-cuda.sh .gpu/runtime
fi
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
# One folder, so that the programs share one .NET runtime.
for program in ${PROGRAMS:-tests/Onnx.Tests tests/Attention.Tests tests/Vision.Tests tests/Goldens tests/Benchmarks}; do
  dotnet publish "$program" -c Release -r linux-x64 --self-contained -p:GpuBundle=true -p:RunAnalyzers=false \
    -v quiet --nologo -o "$stage/app"
done
rm -f "$stage"/app/*.pdb "$stage"/app/*.xml
for family in ${GOLDENS:-biformer tnt raftmlp ela plain-detr ugdc sccan tscan storydiffusion}; do
  if [ -d "../shared/goldens/$family" ]; then # absent in a second worktree
    mkdir -p "$stage/app/goldens"
    cp -r "../shared/goldens/$family" "$stage/app/goldens/"
  fi
done
if [ -d "$stage/app/goldens/tscan" ]; then # one of its cases reads records
  mkdir -p "$stage/app/data"
  cp -r ../shared/data/physionet2012 "$stage/app/data/"
fi
if [ -n "${DATA:-}" ]; then
  mkdir -p .gpu/data
  tar c -C "$(dirname "$DATA")" --transform 's,^[^/]*,data,' "$(basename "$DATA")" | xz -T0 -0 > .gpu/data/data.tar.xz
fi
tar c -C "$stage" app | xz -T0 -3 > .gpu/app/app.tar.xz
ls -l .gpu/runtime/ort-cuda.tar.xz .gpu/app/app.tar.xz

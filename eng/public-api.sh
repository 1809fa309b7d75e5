#!/usr/bin/env bash
# Writes the public members of the libraries into their PublicAPI.Unshipped.txt, for review in the diff. After a rebase with conflicts
# in those files, run it again. Usage: eng/public-api.sh [project folder ...]
set -euo pipefail
cd "$(dirname "$0")/.."
for project in "${@:-Onnx Microsoft.ML.Attention Microsoft.ML.Attention.Vision}"; do
    for folder in $project; do
        list="$folder/PublicAPI.Unshipped.txt"
        echo '#nullable enable' > "$list"
        members=$(dotnet build "$folder"/*.csproj -p:TreatWarningsAsErrors=false --no-incremental 2>&1 \
            | { grep -o "RS0016: Symbol '.*' is not part" || true; } | sed "s/^RS0016: Symbol '//; s/' is not part\$//" | LC_ALL=C sort -u)
        [ -z "$members" ] || echo "$members" >> "$list"
        echo "$list: $(($(wc -l < "$list") - 1)) members"
    done
done

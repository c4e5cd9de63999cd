#!/usr/bin/env bash
# Holds the service to both of its OpenAPI documents: no request ends in a fault, every reply has its schema, what fits is taken and what
# does not is refused. HALDANE_BIN names the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
scratch=$PWD/generated
rm -rf "$scratch" && mkdir "$scratch"
source ../serve.sh

[ -d venv ] || python3 -m venv venv
venv/bin/pip install --quiet --requirement requirements.txt

coproc store { exec venv/bin/python store.py; }
read -r prometheus <&"${store[0]}"
serve --prometheus "$prometheus" --store "file://$scratch/kept"
trap 'kill "$server" "$store_PID" 2>/dev/null || true' EXIT

failed=0
for surface in "haldane openapi.json" "kayenta kayenta/openapi.json"; do
  read -r name address <<<"$surface"
  echo "-- $name"
  venv/bin/schemathesis --config-file "$name.toml" run "$url/$address" --report ndjson --report-dir "$scratch/$name" --no-color || failed=1
done
exit "$failed"

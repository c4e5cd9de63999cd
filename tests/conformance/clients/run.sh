#!/usr/bin/env bash
# Generates a client in Python and one in TypeScript from the OpenAPI document that the service gives out, and has each judge a canary.
# HALDANE_BIN names the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
scratch=$PWD/generated
rm -rf "$scratch" && mkdir "$scratch"
source ../serve.sh

[ -d venv ] || python3 -m venv venv
venv/bin/pip install --quiet --requirement requirements.txt
npm ci --silent

serve
curl --silent --show-error --fail "$url/openapi.json" >"$scratch/haldane.json"
curl --silent --show-error --fail "$url/kayenta/openapi.json" >"$scratch/kayenta.json"
venv/bin/openapi-spec-validator "$scratch/haldane.json" "$scratch/kayenta.json"

# A schema that the generator cannot make a type of is a warning to it; here it is an error.
venv/bin/openapi-python-client generate --config generator.yaml --fail-on-warning --meta none --path "$scratch/haldane.json" --output-path "$scratch/haldane_client"
PYTHONPATH=$scratch venv/bin/python judge.py "$url"

node_modules/.bin/openapi-typescript "$scratch/haldane.json" --default-non-nullable false --output "$scratch/haldane.d.ts" >"$scratch/openapi-typescript.log"
node_modules/.bin/tsc --project .
node "$scratch/judge.js" "$url"

#!/bin/sh
# Lints the OpenAPI documents and prints the findings; quiet where there are none.
set -eu
cd "$(dirname "$0")"
documents="../../../docs/api/api.json ../../../docs/api/*-internal.json"
bin=node_modules/.bin
# shellcheck disable=SC2086 # a list
"$bin/spectral" lint --ruleset spectral.yaml --fail-severity warn --quiet $documents
output=$(mktemp)
trap 'rm -f "$output"' EXIT
# shellcheck disable=SC2086
"$bin/redocly" lint --config redocly.yaml $documents >"$output" 2>&1 || { cat "$output"; exit 1; }

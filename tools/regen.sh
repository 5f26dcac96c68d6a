#!/usr/bin/env bash
# Makes every file again that is made from the code, so that none is edited by hand.
#
# Each line below is one file and the words that make the program print it. The tests in
# tests/it/documents.rs fail while a file differs from what the program prints.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet
program=${CARGO_TARGET_DIR:-target}/debug/poly2mqtt

# The whole file is there, or the old one stays.
make_file() {
  local file=$1
  shift
  "$program" "$@" >"$file.new" || { rm -f "$file.new"; exit 1; }
  mv "$file.new" "$file"
}

make_file docs/topics.md topics --markdown
make_file docs/asyncapi.json asyncapi
make_file examples/mosquitto.acl topics --acl
make_file config/poly2mqtt.schema.json schema
make_file config/poly2mqtt.toml schema --example
make_file docs/configuration.md schema --page docs/configuration.md
make_file docs/commands.md topics --errors docs/commands.md

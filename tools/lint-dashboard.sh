#!/usr/bin/env bash
# Checks the dashboard's scripts with ESLint, joined in the order of src/dashboard.rs, since they share one
# scope. Needs eslint 9: in PATH, as $ESLINT, or fetched by npx. Status 3: there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${ESLINT:-}" ]; then
  eslint=("$ESLINT")
elif command -v eslint >/dev/null; then
  eslint=(eslint)
elif command -v npx >/dev/null && timeout 120 npx --yes eslint@9 --version >/dev/null 2>&1; then
  eslint=(npx --yes eslint@9)
else
  echo "ESLint is neither installed nor can it be fetched (npm install --global eslint@9)"
  exit 3
fi

# Below the repository, where ESLint finds its configuration.
joined=$(mktemp -p . --suffix=.mjs .dashboard-XXXXXX)
trap 'rm -f "$joined"' EXIT
sed -n '/^const SCRIPT: &str = scripts!\[/,/^\];/s/^ *"\(.*\)",$/\1/p' src/dashboard.rs | while read -r name; do
  printf '// ── %s ──\n' "$name"
  cat "src/dashboard/scripts/$name"
done >"$joined"
[ -s "$joined" ] || { echo "no scripts are found in src/dashboard.rs"; exit 1; }
"${eslint[@]}" --max-warnings 0 "$joined"
echo "the dashboard's scripts: $(grep -c '^// ── ' "$joined") files, $(wc -l <"$joined") lines, no findings"

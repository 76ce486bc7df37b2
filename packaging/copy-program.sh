#!/usr/bin/env bash
# copy-program.sh DIR: the compiled daemon and the packages that it needs at run time, and nothing else, in DIR. After the build.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
[ -e "$root/build/agent/main.js" ] || { echo 'nothing is built: npm run build' >&2; exit 1; }
mkdir -p "$1/build"
out=$(cd "$1" && pwd)
cd "$root"
cp package.json LICENSE "$out/"
cp -r build/agent build/proto build/core-wasm "$out/build/"
npm ls --omit=dev --all --parseable | tail -n +2 | while read -r package; do
  relative=${package#"$root/"}
  mkdir -p "$out/$(dirname "$relative")"
  cp -r "$package" "$out/$(dirname "$relative")/"
done
# For reading, not for running.
find "$out" \( -name '*.map' -o -name '*.d.ts' -o -name '*.md' \) -type f -delete

#!/usr/bin/env bash
# Runs every fuzz target for so many seconds, or only those that are named after them; with EXECUTIONS, each for so many executions
# however long they take. What they find new is kept in target/fuzz, apart from the small corpora of the repository; an input
# that breaks a promise is printed with its file.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-60}
shift || true
limit=-max_total_time=$seconds
until="$seconds s"
if [ -n "${EXECUTIONS:-}" ]; then
  limit=-runs=$EXECUTIONS
  until="$EXECUTIONS executions"
fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "cargo-fuzz is not installed: cargo install --locked cargo-fuzz" >&2
  exit 1
fi

# No unsafe code is here for a sanitizer to watch; without one the stable toolchain does.
cargo fuzz build --sanitizer none
for target in "${targets[@]}"; do
  found=../target/fuzz/$target
  mkdir -p "$found/corpus" "$found/artifacts"
  echo "$target, $until"
  cargo fuzz run --sanitizer none "$target" "$found/corpus" "corpus/$target" -- \
    "$limit" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
    -artifact_prefix="$found/artifacts/" 2>&1 | grep -vE '^(INFO|WARNING|#)|NEW_FUNC'
done

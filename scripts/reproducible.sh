#!/usr/bin/env bash
# Builds the image of the last commit twice, each time from nothing and in a directory of its own, and compares: one digest must
# come of it. JOBS is how many jobs cargo may run at once.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v buildah >/dev/null; then
  echo "buildah is not installed (on Debian: apt-get install buildah)." >&2
  exit 1
fi
work=$PWD/target/reproducible
rm -rf "$work"
# What is committed meanwhile belongs to the next comparison.
commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit")
export SOURCE_DATE_EPOCH CARGO_BUILD_JOBS=${JOBS:-$(nproc)}
unset BINARY ARCHIVE CARGO_TARGET_DIR

# Names of different lengths: a path that is left in the program moves everything behind it.
places=(one another-place)
for place in "${places[@]}"; do
  mkdir -p "$work/$place"
  git archive "$commit" | tar -x -C "$work/$place"
  began=$SECONDS
  IMAGE=localhost/plimsoll:$place "$work/$place/scripts/image.sh"
  buildah push --quiet --digestfile "$work/$place.digest" "localhost/plimsoll:$place" "dir:$work/$place.image"
  buildah rmi "localhost/plimsoll:$place" >/dev/null 2>&1 || true
  program=$(find "$work/$place/target" -path '*/image/plimsoll' -type f)
  sha256sum "$program" | cut -d' ' -f1 >"$work/$place.program"
  echo "$place: $((SECONDS - began)) s, program of $(stat -c %s "$program") bytes, sha256 $(cat "$work/$place.program"), image $(cat "$work/$place.digest")"
  rm -rf "${work:?}/$place"
done
for kind in program digest; do
  if ! cmp -s "$work/${places[0]}.$kind" "$work/${places[1]}.$kind"; then
    echo "The two builds are not the same: $kind differs." >&2
    exit 1
  fi
done
echo "Two builds of $commit, one image: $(cat "$work/${places[0]}.digest")"

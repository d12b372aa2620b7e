#!/usr/bin/env bash
# Builds the container image: the operator, the libraries it names, the certificates of public authorities; no shell, no root.
# The same program and the same SOURCE_DATE_EPOCH (default: the last commit's) make the same image. IMAGE is its name; BINARY a program that is built already; ARCHIVE a file to write the image to, and to keep it nowhere else.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${IMAGE:-plimsoll:dev}
for builder in buildah podman docker; do
  command -v "$builder" >/dev/null && break
  builder=
done
if [ -z "${builder:-}" ]; then
  echo "No image builder is installed: install buildah, podman or docker (on Debian: apt-get install buildah)." >&2
  exit 1
fi

binary=${BINARY:-}
if [ -z "$binary" ]; then
  cargo build --release --bin plimsoll
  binary=target/release/plimsoll
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
install -D -m 0755 "$binary" "$root/plimsoll"
if command -v strip >/dev/null; then strip --strip-debug "$root/plimsoll"; fi
# The loader and the C library are all that the binary needs of a system.
ldd "$binary" | grep -o '/[^ )]*' | while read -r library; do
  install -D -m 0755 "$library" "$root$library"
done
certificates=/etc/ssl/certs/ca-certificates.crt
if [ -f "$certificates" ]; then
  install -D -m 0644 "$certificates" "$root$certificates"
fi

# The same files make the same image: neither the clock nor the order of a directory is in it.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
find "$root" -exec touch --no-dereference --date "@$epoch" {} +
case $builder in
  buildah) buildah build --quiet --isolation chroot --timestamp "$epoch" --file Containerfile --tag "$image" "$root" ;;
  podman) podman build --quiet --timestamp "$epoch" --file Containerfile --tag "$image" "$root" ;;
  docker) SOURCE_DATE_EPOCH=$epoch docker build --quiet --file Containerfile --tag "$image" "$root" ;;
esac
if [ -n "${ARCHIVE:-}" ]; then
  case $builder in
    buildah)
      buildah push --quiet "$image" "docker-archive:$ARCHIVE:$image"
      buildah rmi "$image" >/dev/null
      ;;
    *)
      "$builder" save --output "$ARCHIVE" "$image"
      "$builder" rmi "$image" >/dev/null
      ;;
  esac
fi
size=$(du -sb "$root" | cut -f1)
echo "$image built with $builder, $((size / 1024 / 1024)) MiB of files"

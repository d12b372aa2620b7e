#!/usr/bin/env bash
# Builds the container image: the operator, the libraries it names, the certificates of public authorities; no shell, no root.
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

cargo build --release --bin plimsoll

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
install -D -m 0755 target/release/plimsoll "$root/plimsoll"
# The loader and the C library are all that the binary needs of a system.
ldd target/release/plimsoll | grep -o '/[^ )]*' | while read -r library; do
  install -D -m 0755 "$library" "$root$library"
done
certificates=/etc/ssl/certs/ca-certificates.crt
if [ -f "$certificates" ]; then
  install -D -m 0644 "$certificates" "$root$certificates"
fi

case $builder in
  buildah) buildah build --quiet --isolation chroot --file Containerfile --tag "$image" "$root" ;;
  *) "$builder" build --quiet --file Containerfile --tag "$image" "$root" ;;
esac
size=$(du -sb "$root" | cut -f1)
echo "$image built with $builder, $((size / 1024 / 1024)) MiB of files"

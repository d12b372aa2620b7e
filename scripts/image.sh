#!/usr/bin/env bash
# Builds the container image: the operator, and the certificates of public authorities; no shell, no library, no root. Where musl
# is not installed the program is not static, and its C library comes with it.
# The same source and the same SOURCE_DATE_EPOCH (default: the last commit's) make the same image, wherever they lie. IMAGE is its
# name; FEATURES what is built in beside the default (otel: traces); BINARY a program that is built already; ARCHIVE a file to write
# the image to, and to keep it nowhere else.
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

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
binary=${BINARY:-}
if [ -z "$binary" ]; then
  target=$(uname -m)-unknown-linux-musl
  if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || ! command -v musl-gcc >/dev/null; then
    echo "The program will not be static: rustup target add $target, and install musl-gcc (on Debian: apt-get install musl-tools)." >&2
    target=$(uname -m)-unknown-linux-gnu
  fi
  built=${CARGO_TARGET_DIR:-$PWD/target}
  # Neither where the source lies, nor whose home it is, nor when it was built may be read in the program.
  rust=() c=(-Wno-builtin-macro-redefined '-D__DATE__=""' '-D__TIME__=""')
  for path in "$PWD=/plimsoll" "$built=/target" "${CARGO_HOME:-$HOME/.cargo}=/cargo"; do
    rust+=("--remap-path-prefix=$path")
    c+=("-ffile-prefix-map=$path")
  done
  # Nor the order of a hash map of a build script, which is drawn anew in each process. Cargo itself, which may download, draws as ever.
  drawn=()
  if cc -shared -fPIC -o "$scratch/constant_random.so" scripts/constant_random.c; then
    drawn=(--config "env.LD_PRELOAD='$scratch/constant_random.so'")
  else
    echo "Without cc, two builds may differ in the order of a generated table: the image is not reproducible." >&2
  fi
  RUSTFLAGS="${rust[*]}" CFLAGS="${c[*]}" cargo build "${drawn[@]}" --locked --features "${FEATURES:-}" --profile image --target "$target" --bin plimsoll
  binary=$built/$target/image/plimsoll
fi

root=$scratch/root
install -D -m 0755 "$binary" "$root/plimsoll"
if command -v strip >/dev/null; then strip --strip-debug "$root/plimsoll"; fi
# The loader and the C library are all that a program that is not static needs of a system.
{ ldd "$binary" | grep -o '/[^ )]*' || true; } | while read -r library; do
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

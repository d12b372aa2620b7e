#!/usr/bin/env bash
# Installs what `make demo` and `make test` use beside Rust: prometheus, etcd, cargo-nextest. What cannot be installed is named
# in one sentence with the command that does it. Never fails, says nothing when everything is there, starts no service.
# SETUP=0 skips it.
set -uo pipefail

[ "${SETUP:-1}" = 0 ] && exit 0

# A download that hangs must not hang the demo.
deadline=${SETUP_DEADLINE:-180}

has() { command -v "$1" >/dev/null 2>&1; }

say() { printf '%s\n' "$*" >&2; }

# Where envtest puts it, etcd is not in PATH.
has_etcd() { has etcd || [ -x "${KUBEBUILDER_ASSETS:-/usr/local/kubebuilder/bin}/etcd" ]; }

as_root=()
may_be_root() {
  [ "$(id -u)" = 0 ] && return 0
  has sudo && sudo -n true 2>/dev/null && as_root=(sudo -n)
}

bounded() {
  if has timeout; then timeout "$deadline" "$@"; else "$@"; fi
}

privileged() { bounded ${as_root[@]+"${as_root[@]}"} "$@"; }

manager=
for candidate in apt-get dnf brew; do
  if has "$candidate"; then
    manager=$candidate
    break
  fi
done

# The package that brings a program; empty where there is none.
package_of() {
  case $manager-$1 in
    apt-get-prometheus | brew-prometheus) echo prometheus ;;
    apt-get-etcd) if apt-cache show etcd-server >/dev/null 2>&1; then echo etcd-server; else echo etcd; fi ;;
    dnf-etcd | brew-etcd) echo etcd ;;
    dnf-prometheus) echo golang-github-prometheus ;;
    brew-cargo-nextest) echo cargo-nextest ;;
  esac
}

# Debian's packages of servers start them. A policy file would be seen by every other installation at the time; a mask is
# only about this unit, and is taken back afterwards, unless it was there before.
install_with_apt() {
  local package=$1 unit=$2 mask=/etc/systemd/system/$2.service
  local masked_by_us=
  if [ ! -e "$mask" ] && [ ! -L "$mask" ] &&
    privileged mkdir -p "${mask%/*}" && privileged ln -s /dev/null "$mask"; then
    masked_by_us=1
  fi
  # RUNLEVEL=1 keeps machines without systemd from starting it.
  privileged env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$package" >"$log" 2>&1
  local installed=$?
  if [ -n "$masked_by_us" ]; then
    privileged rm -f "$mask"
    # Taken back, it would start with the machine.
    if has systemctl; then
      privileged systemctl disable --quiet "$unit" >>"$log" 2>&1
    fi
  fi
  if [ -x "/etc/init.d/$unit" ] && has update-rc.d; then
    privileged update-rc.d "$unit" disable >>"$log" 2>&1
  fi
  return "$installed"
}

install() {
  local program=$1 package=$2
  case $manager in
    apt-get)
      if [ -z "${lists_are_fresh:-}" ]; then
        privileged apt-get update -qq >"$log" 2>&1
        lists_are_fresh=1
      fi
      install_with_apt "$package" "$program"
      ;;
    dnf) privileged dnf install -y -q "$package" >"$log" 2>&1 ;;
    brew) bounded env HOMEBREW_NO_AUTO_UPDATE=1 brew install --quiet "$package" >"$log" 2>&1 ;;
  esac
}

# How a person would install it.
command_for() {
  local program=$1 package=$2
  case $manager-$program in
    *-cargo-nextest) echo "cargo install --locked cargo-nextest" ;;
    apt-get-*) echo "sudo apt-get install $package" ;;
    dnf-*) echo "sudo dnf install $package" ;;
    brew-*) echo "brew install $package" ;;
  esac
}

# What happens without it.
without() {
  case $1 in
    prometheus) echo "the demo uses the test bed's own query endpoint, and tests that need Prometheus are skipped" ;;
    etcd) echo "scenarios on a real API server are skipped" ;;
    cargo-nextest) echo "tests run with cargo test" ;;
  esac
}

missing=()
has prometheus || missing+=(prometheus)
has_etcd || missing+=(etcd)
has cargo-nextest || missing+=(cargo-nextest)
[ ${#missing[@]} -eq 0 ] && exit 0

log=$(mktemp) || exit 0
trap 'rm -f "$log"' EXIT

for program in "${missing[@]}"; do
  package=$(package_of "$program")
  if [ -n "$package" ] && { [ "$manager" = brew ] || may_be_root; }; then
    say "Installing $package ($manager; SETUP=0 skips this) …"
    if install "$program" "$package" && { has "$program" || [ "$program" = etcd ] && has_etcd; }; then
      continue
    fi
    say "$package could not be installed: $(tail -n 1 "$log")"
  fi
  command=$(command_for "$program" "$package")
  say "$program is not installed, so $(without "$program")${command:+; to change that: $command}"
done
exit 0

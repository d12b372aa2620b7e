#!/usr/bin/env bash
# Installs what `make demo` and `make test` use beside Rust: the programs given as arguments, or prometheus, etcd, PostgreSQL
# with its exporter, HAProxy, and cargo-nextest. What cannot be installed is named in one sentence with the command that does it. Never fails, says nothing when
# everything is there, starts no service. SETUP=0 skips it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 0

[ "${SETUP:-1}" = 0 ] && exit 0

# A download that hangs must not hang the demo; seconds.
readonly deadline=300
# What failed once is not tried again for a day; `rm target/setup-*` forgets it.
readonly stamps=target

has() { command -v "$1" >/dev/null 2>&1; }

say() { printf '%s\n' "$*" >&2; }

# Where envtest puts it, etcd is not in PATH.
has_etcd() { has etcd || [ -x "${KUBEBUILDER_ASSETS:-/usr/local/kubebuilder/bin}/etcd" ]; }

# Debian keeps PostgreSQL's programs by version.
has_postgres() {
  local program
  has postgres && has initdb && return 0
  for program in /usr/lib/postgresql/*/bin/initdb; do
    [ -x "$program" ] && return 0
  done
  return 1
}

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
    apt-get-postgres) echo postgresql ;;
    dnf-postgres) echo postgresql-server ;;
    brew-postgres) echo postgresql@15 ;;
    apt-get-prometheus-postgres-exporter) echo prometheus-postgres-exporter ;;
    apt-get-etcd) if apt-cache show etcd-server >/dev/null 2>&1; then echo etcd-server; else echo etcd; fi ;;
    dnf-etcd | brew-etcd) echo etcd ;;
    dnf-prometheus) echo golang-github-prometheus ;;
    apt-get-haproxy | dnf-haproxy | brew-haproxy) echo haproxy ;;
    brew-cargo-nextest) echo cargo-nextest ;;
  esac
}

readonly apt_options=(-qq -o DPkg::Lock::Timeout=60 -o Acquire::http::Timeout=20 -o Acquire::Retries=1)

# Debian's packages of servers start them. A policy file would be seen by every other installation at the time; a mask is
# only about this unit, and is taken back afterwards, unless it was there before.
install_with_apt() {
  local program=$1 package=$2 unit=$3 mask=/etc/systemd/system/$3.service
  local masked_by_us=
  if [ ! -e "$mask" ] && [ ! -L "$mask" ] &&
    privileged mkdir -p "${mask%/*}" && privileged ln -s /dev/null "$mask"; then
    masked_by_us=1
  fi
  # PostgreSQL's package would make a database of its own, and start that.
  local clusters=/etc/postgresql-common/createcluster.conf own_clusters=
  if [ "$program" = postgres ] && [ ! -e "$clusters" ] && privileged mkdir -p "${clusters%/*}" &&
    echo "create_main_cluster = false" | privileged tee "$clusters" >/dev/null; then
    own_clusters=1
  fi
  # RUNLEVEL=1 keeps machines without systemd from starting it.
  privileged env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install "${apt_options[@]}" -y --no-install-recommends "$package" >"$log" 2>&1
  local installed=$?
  if [ -n "$masked_by_us" ]; then
    privileged rm -f "$mask"
    # Taken back, it would start with the machine.
    if has systemctl; then
      privileged systemctl disable --quiet "$unit" >>"$log" 2>&1
    fi
  fi
  if [ -n "$own_clusters" ] && [ -e "/usr/share/postgresql-common/${clusters##*/}" ]; then
    privileged cp "/usr/share/postgresql-common/${clusters##*/}" "$clusters"
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
        privileged apt-get update "${apt_options[@]}" >"$log" 2>&1
        lists_are_fresh=1
      fi
      # The service has the program's name, except for this one.
      install_with_apt "$program" "$package" "${program/%postgres/postgresql}"
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
    postgres | prometheus-postgres-exporter) echo "orders-db, the scenario on a real database, is skipped" ;;
    haproxy) echo "the example that sheds load at a gateway is not tried" ;;
    cargo-nextest) echo "tests run with cargo test" ;;
  esac
}

is_there() {
  case $1 in
    etcd) has_etcd ;;
    postgres) has_postgres ;;
    *) has "$1" ;;
  esac
}

missing=()
[ $# -gt 0 ] || set -- prometheus etcd postgres prometheus-postgres-exporter haproxy cargo-nextest
for program in "$@"; do
  is_there "$program" || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit 0

log=$(mktemp) || exit 0
trap 'rm -f "$log"' EXIT

for program in "${missing[@]}"; do
  package=$(package_of "$program")
  stamp=$stamps/setup-$program.failed
  if [ -n "$package" ] && [ -z "$(find "$stamp" -mtime -1 2>/dev/null)" ] &&
    { [ "$manager" = brew ] || may_be_root; }; then
    say "Installing $package ($manager; SETUP=0 skips this) …"
    if install "$program" "$package" && is_there "$program"; then
      continue
    fi
    say "It could not be installed: $(tail -n 1 "$log")"
    mkdir -p "$stamps" && touch "$stamp"
  fi
  command=$(command_for "$program" "$package")
  say "$program is not installed, so $(without "$program")${command:+; to change that: $command}"
done
exit 0

#!/usr/bin/env bash
# Helm: the one in PATH, else its own library from PyPI, which `scripts/helm.sh setup` puts under target/ where Python can make
# a virtual environment. Without both it says so in one sentence and exits with 69.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

readonly library=helm-python-sdk==0.2.2
readonly environment=$root/target/helm
readonly python=$environment/bin/python
# Seconds; a download that hangs must not hang what waits for it.
readonly deadline=300

installed() { [ -x "$python" ] && "$python" -c 'import helm_python' 2>/dev/null; }

bounded() {
  if command -v timeout >/dev/null; then timeout "$deadline" "$@"; else "$@"; fi
}

setup() {
  if command -v helm >/dev/null || installed || [ "${SETUP:-1}" = 0 ]; then
    return
  fi
  local reason=
  if ! command -v python3 >/dev/null; then
    reason="there is no python3"
  elif ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    reason="python3 cannot make virtual environments (on Debian: apt-get install python3-venv)"
  # What failed once is not tried again for a day.
  elif [ -n "$(find "$root/target/setup-helm.failed" -mtime -1 2>/dev/null)" ]; then
    reason="the last attempt failed; rm target/setup-helm.failed forgets it"
  elif ! { python3 -m venv "$environment" && bounded "$environment/bin/pip" install --quiet --disable-pip-version-check "$library"; } >&2; then
    touch "$root/target/setup-helm.failed"
    reason="$library could not be installed"
  fi
  if [ -n "$reason" ]; then
    echo "Helm is not installed and its library is not either, since $reason: the chart is not linted, and its tests are skipped" >&2
  fi
}

case ${1:-} in
  setup) mkdir -p "$root/target" && setup ;;
  *)
    if command -v helm >/dev/null; then
      exec helm "$@"
    elif installed; then
      exec "$python" "$root/scripts/helm.py" "$@"
    fi
    echo "neither helm nor its library is installed (make setup)" >&2
    exit 69
    ;;
esac

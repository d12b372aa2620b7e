#!/usr/bin/env bash
# Writes deploy/ from the chart's defaults, for those who install without Helm; DIRECTORY is another place to write to.
set -euo pipefail
cd "$(dirname "$0")/.."
directory=${1:-deploy}
mkdir -p "$directory/monitoring"

values=$(mktemp)
trap 'rm -f "$values"' EXIT
cat >"$values" <<'VALUES'
crds: {install: false}
serviceMonitor: {enabled: true}
prometheusRule: {enabled: true}
dashboard: {enabled: true}
VALUES

rendered=$(scripts/helm.sh template plimsoll charts/plimsoll --namespace plimsoll-system --values "$values")

# The documents of these templates, without what only Helm needs.
of() {
  local templates=$1
  awk -v templates="$templates" '
    /^---$/ { separator = 1; next }
    /^# Source: / { name = $3; sub(/.*\/templates\//, "", name); wanted = index(" " templates " ", " " name " ") > 0; next }
    wanted {
      if (separator && started) print "---"
      separator = 0
      started = 1
      print
    }' <<<"$rendered" | grep -vE '^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): '
}

{
  cat <<'NAMESPACE'
# Everything the operator may do, and nothing else; the test bed runs the operator under exactly these roles. Written from the
# chart by scripts/manifests.sh.
apiVersion: v1
kind: Namespace
metadata:
  name: plimsoll-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
---
NAMESPACE
  of "serviceaccount.yaml clusterrole.yaml role.yaml"
} >"$directory/rbac.yaml"
{
  echo "# The operator; set the image and the Prometheus servers. Written from the chart by scripts/manifests.sh."
  of "configmap.yaml deployment.yaml service.yaml poddisruptionbudget.yaml networkpolicy.yaml"
} >"$directory/operator.yaml"
{
  echo "# Needs the Prometheus Operator's kinds. Written from the chart by scripts/manifests.sh."
  of "servicemonitor.yaml prometheusrule.yaml"
} >"$directory/monitoring/prometheus-operator.yaml"
{
  echo "# For Grafana's sidecar. Written from the chart by scripts/manifests.sh."
  of "dashboard.yaml"
} >"$directory/monitoring/dashboard.yaml"

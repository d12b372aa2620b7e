#!/usr/bin/env bash
# Plimsoll on a kind cluster: Prometheus, PostgreSQL, a service with real connections, load, and the chart.
#   scripts/kind.sh demo    sets it up and leaves it there
#   scripts/kind.sh e2e     sets it up, plays the scenarios, and takes it away
#   scripts/kind.sh down    takes it away
# Needs Docker, kind, kubectl and Helm. KEEP=1 leaves the cluster after e2e, to look at.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly cluster=plimsoll context=kind-plimsoll image=plimsoll:kind
# The versions that this was written for; the node image decides which Kubernetes it is.
readonly kind_version=v0.30.0
readonly node_image=${NODE_IMAGE:-docker.io/kindest/node:v1.34.0}
# Seconds for anything that has to come.
readonly deadline=300

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }

fail() {
  printf 'kind: %s\n' "$*" >&2
  exit 1
}

kube() { kubectl --context "$context" "$@"; }

chart() { helm --kube-context "$context" --namespace plimsoll-system "$@"; }

need() {
  local program
  for program in docker kind kubectl helm; do
    command -v "$program" >/dev/null || fail "$program is not installed; needed are docker, kind ($kind_version), kubectl and helm"
  done
  docker info >/dev/null 2>&1 || fail "Docker does not run, or may not be used by $(id -un)"
  if [ "$(kind version -q 2>/dev/null)" != "${kind_version#v}" ]; then
    say "kind $(kind version -q 2>/dev/null) is here, and $kind_version is what this was written for"
  fi
}

# Waits until a command prints what is wanted; tells what it printed last if it never does.
until_is() {
  local what=$1 wanted=$2 seen='' end=$((SECONDS + deadline))
  shift 2
  # What is wanted is a pattern.
  # shellcheck disable=SC2053
  while seen=$("$@" 2>&1) || true; [[ "$seen" != $wanted ]]; do
    if [ "$SECONDS" -ge "$end" ]; then
      diagnose
      fail "not within $deadline s: $what; it is: $seen"
    fi
    sleep 2
  done
  say "$what"
}

diagnose() {
  {
    kube describe scalingpolicy,connectionbudget --all-namespaces || true
    kube get pods --all-namespaces --output wide || true
    kube logs --namespace plimsoll-system --selector app.kubernetes.io/name=plimsoll --tail 50 --prefix || true
  } >&2
}

replicas() { kube get deployment checkout --namespace shop --output 'jsonpath={.spec.replicas}'; }

ready_says() {
  kube get scalingpolicy checkout --namespace shop --output 'jsonpath={.status.conditions[?(@.type=="Ready")].message}'
}

condition() {
  kube get scalingpolicy checkout --namespace shop --output "jsonpath={.status.conditions[?(@.type==\"$1\")].reason}"
}

connections() {
  kube exec deployment/orders-db --namespace shop --container postgres -- \
    psql --username postgres --dbname orders --tuples-only --no-align \
    --command "select count(*) <= 100 - 3 from pg_stat_activity where datname = 'orders'"
}

load() { kube set env deployment/load "QPS=$1" --namespace shop >/dev/null; }

up() {
  need
  if ! kind get clusters 2>/dev/null | grep -qx "$cluster"; then
    kind create cluster --config deploy/kind/cluster.yaml --image "$node_image" --wait "${deadline}s"
  fi
  say "building the operator's image"
  local archive
  archive=$(mktemp -d)/plimsoll.tar
  IMAGE=$image ARCHIVE=$archive scripts/image.sh
  kind load image-archive "$archive" --name "$cluster"
  rm -rf "$(dirname "$archive")"
  kube apply --filename deploy/kind/monitoring.yaml --filename deploy/kind/database.yaml
  kube rollout status deployment/orders-db --namespace shop --timeout "${deadline}s"
  kube rollout status deployment/prometheus --namespace monitoring --timeout "${deadline}s"
  kube apply --filename deploy/kind/service.yaml
  install
  kube apply --filename deploy/kind/policy.yaml
  kube rollout status deployment/checkout --namespace shop --timeout "${deadline}s"
}

install() {
  chart upgrade plimsoll charts/plimsoll --install --create-namespace --wait --timeout "${deadline}s" \
    --set image.repository="docker.io/library/${image%:*}" --set image.tag="${image#*:}" --set image.pullPolicy=Never \
    --set 'prometheusServers[0].name=main' --set 'prometheusServers[0].url=http://prometheus.monitoring.svc:9090' \
    --set-string 'podAnnotations.prometheus\.io/scrape=true' --set-string 'podAnnotations.prometheus\.io/port=8080' "$@"
}

demo() {
  up
  cat <<HINTS

It runs. Look on with

  kubectl --context $context get scalingpolicies,connectionbudgets --all-namespaces --watch
  kubectl --context $context describe scalingpolicy checkout --namespace shop
  kubectl --context $context port-forward --namespace monitoring service/prometheus 9090

More load than the database has connections for, and less again:

  kubectl --context $context set env deployment/load QPS=400 --namespace shop
  kubectl --context $context set env deployment/load QPS=40 --namespace shop

make kind-down takes it away.
HINTS
}

scenarios() {
  chart test plimsoll --logs --timeout "${deadline}s"
  until_is "at 40 requests a second two replicas are enough" 2 replicas
  load 100
  until_is "at 100 requests a second there are five replicas" 5 replicas
  load 400
  until_is "at 400 the database's connections hold the count" ConnectionBudget condition ScalingLimited
  until_is "and the policy says so" "needs *, held at * by database connections of orders-db*" ready_says
  until_is "no connection is wanted that is not there" t connections
  kube rollout restart deployment/checkout --namespace shop
  kube rollout status deployment/checkout --namespace shop --timeout "${deadline}s"
  until_is "nor during a rollout at the ceiling" t connections
  kube scale deployment/prometheus --replicas 0 --namespace monitoring
  local held
  held=$(replicas)
  until_is "without Prometheus the policy says so" FailedGetExternalMetric condition ScalingActive
  until_is "and the count is held" "$held" replicas
  kube scale deployment/prometheus --replicas 1 --namespace monitoring
  until_is "with Prometheus it goes on" "ValidMetricFound" condition ScalingActive
  load 40
  until_is "and shrinks to two again" 2 replicas
  install --set logLevel=debug
  chart rollback plimsoll 1 --wait --timeout "${deadline}s"
  say "the chart was upgraded and rolled back"
  load 100
  until_is "it still scales" 5 replicas
  chart uninstall plimsoll --wait --timeout "${deadline}s"
  until_is "without the chart the workload stays at its count" 5 replicas
  kube get scalingpolicy checkout --namespace shop >/dev/null
  say "and its policy is still there"
}

down() { kind delete cluster --name "$cluster"; }

case ${1:-} in
  demo) demo ;;
  e2e)
    if [ "${KEEP:-0}" != 1 ]; then
      trap down EXIT
    fi
    up
    scenarios
    ;;
  down) down ;;
  *) fail "write scripts/kind.sh demo, e2e or down" ;;
esac

#!/usr/bin/env bash
# Tells HAProxy how much of the load to turn away: what plimsoll_deficit_ratio says, through Prometheus, since of several
# operators only the leader knows. Where there is no answer, or no such series, nothing is turned away.
set -uo pipefail

prometheus=${PROMETHEUS:-http://prometheus.monitoring:9090}
# All load beyond what the pods carry. To turn away only what no further pod will come for, multiply it by
# `on (namespace, policy) (plimsoll_unmet_replicas > bool 0)`.
query=${QUERY:-'max(plimsoll_deficit_ratio{namespace="shop",policy="checkout"})'}
admin_port=${ADMIN_PORT:-9999}
# Seconds between two looks; what was told last counts for three of them.
interval=${INTERVAL:-5}

deficit_ratio() {
  curl --silent --show-error --fail --max-time 3 --get --data-urlencode "query=$query" "$prometheus/api/v1/query" |
    sed -n 's/.*"value":\[[^,]*,"\([0-9.e+-]*\)"\].*/\1/p'
}

tell() {
  exec 3<>"/dev/tcp/127.0.0.1/$admin_port" || return
  printf '%s\n' "$1" >&3
  sed '/^$/d' <&3
  exec 3>&-
}

while :; do
  ratio=$(deficit_ratio)
  permille=$(awk -v ratio="${ratio:-0}" 'BEGIN { print int((ratio > 1 ? 1 : ratio) * 1000 + 0.5) }')
  tell "set map shed.map permille $permille; set map shed.map until $(($(date +%s) + 3 * interval))" || true
  sleep "$interval"
done

#!/usr/bin/env bash
# Checks metrics with a real Prometheus (Debian's package prometheus): the configuration, the alerts and their tests, and
# the values that Prometheus scrapes from `dagyo up` after a flow. PORT is where Prometheus listens.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-9491}
rules=deploy/observability

promtool check config "$rules/prometheus.yml"
promtool test rules "$rules/alerts.test.yml"

. tests/up.sh
up --http 127.0.0.1:0 --metrics 127.0.0.1:0
page=$(value metrics)

sed "s|targets: .*|targets: [\"$(sed 's|http://\(.*\)/metrics|\1|' <<<"$page")\"]|; s|15s|1s|; s|\[alerts.yml\]|[\"$PWD/$rules/alerts.yml\"]|" \
	"$rules/prometheus.yml" >"$dir/prometheus.yml"
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/tsdb" --web.listen-address="127.0.0.1:$port" \
	>"$dir/prometheus.log" 2>&1 &
pids+=($!)

# holds waits until a query has a result.
holds() {
	for _ in $(seq 120); do
		if [ -n "$(promtool query instant "http://127.0.0.1:$port" "$1" 2>"$dir/query.log")" ]; then
			echo "holds: $1"
			return
		fi
		kill -0 "${pids[@]}" || return
		sleep 0.5
	done
	echo "does not hold: $1" >&2
	promtool query instant "http://127.0.0.1:$port" "${1%% [<=>]*}" >&2
	return 1
}

holds 'sum(dagyo_flow_submissions_total) == 0'
holds 'count(dagyo_service_leader == 1) == 4'
for _ in 1 2; do dagyo run tests/flows/greetings.json >"$dir/run.log" 2>&1; done
holds 'sum by (tenant) (dagyo_flow_verdicts_total{verdict="completed"}) == 2'
holds 'sum(dagyo_flow_verdicts_total) == 2'
holds 'sum(dagyo_flow_submissions_total) == 2'
holds 'dagyo_flow_start_latency_seconds_count{phase="started"} == 2'
holds 'sum(dagyo_slots{state="used"}) == 0'
holds 'sum(dagyo_executors) == sum(dagyo_executor_starts_total) - sum(dagyo_executor_exits_total)'
holds 'increase(dagyo_flow_verdicts_total{verdict="completed"}[2m]) > 0'
holds 'absent(ALERTS{alertstate="firing"})'
curl --silent --fail "$page" | promtool check metrics
curl --silent --fail "${page%/metrics}/readyz"

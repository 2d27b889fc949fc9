#!/usr/bin/env bash
# Checks traces with a real OpenTelemetry collector (tests/collector): `dagyo up` sends it the spans of flows that complete,
# panic and are rejected, and each arrives once, also if Dagyo is killed. PORT is where the collector listens.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-9492}

. tests/up.sh

cat >"$dir/collector.yaml" <<YAML
receivers:
  otlp: {protocols: {http: {endpoint: "127.0.0.1:$port"}}}
exporters:
  debug: {verbosity: detailed, sampling_initial: 1000000}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
YAML
bin/collector --config "$dir/collector.yaml" >"$dir/collector.log" 2>&1 &
pids+=($!)

export OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:$port/v1/traces

# spans prints the spans that the collector has received: trace, parent (- if none), id, name, status, flow and node.
spans() {
	awk '
		function flush() { if (id) print trace, parent == "" ? "-" : parent, id, name, status, flow, node; id = "" }
		/^Span #/ { flush() }
		/^ +Trace ID +:/ { trace = $NF; flow = node = "-" }
		/^ +Parent ID +:/ { parent = $NF == ":" ? "" : $NF }
		/^ +ID +:/ { id = $NF }
		/^ +Name +:/ { name = $0; sub(/^ +Name +: /, "", name); gsub(/ /, "_", name) }
		/^ +Status code +:/ { status = $NF }
		/-> dagyo.flow.id:/ { flow = $NF; gsub(/Str\(|\)/, "", flow) }
		/-> dagyo.node:/ { node = $NF; gsub(/Str\(|\)/, "", node) }
		END { flush() }' "$dir/collector.log"
}

# has waits until a flow has these spans, each once: name, status and node. Those but flow are below the span flow.
has() {
	local flow=$1 want
	want=$(sort <<<"$2")
	for _ in $(seq 120); do
		if [ "$(spans | awk -v f="$flow" '$6 == f { print $3, $4, $5, $7 }' | sort ${repeated:-} | cut -d ' ' -f 2- | sort)" = "$want" ]; then
			spans | awk -v f="$flow" '$6 == f && $4 == "flow" { root = $3 } $6 == f && $4 != "flow" { parents[$2] }
				END { for (p in parents) if (p != root) exit 1 }'
			echo "flow $flow has its spans"
			return
		fi
		sleep 0.5
	done
	printf 'flow %s has\n%s\nnot\n%s\n' "$flow" "$(spans | awk -v f="$flow" '$6 == f')" "$want" >&2
	return 1
}
phases='validate Unset -
plan Unset -
queue Unset -
spawn Unset -'

up --http ''
cat >"$dir/good.json" <<'JSON'
{"nodes": {"show": {"progdef": "show"}}, "outputs": {"out": "show.out"}}
JSON
cat >"$dir/bad.json" <<'JSON'
{"nodes": {"fail": {"progdef": "fail"}}}
JSON
cat >"$dir/progdefs.json" <<'JSON'
{"name": "show", "command": ["dagyo", "exec", "--", "sh", "-c", "echo $TRACEPARENT"], "outputs": {"out": "utf8-string"},
 "scaling": {"jobsPerExecutor": 1, "maxExecutors": 1}}
JSON
dagyo progdef apply "$dir/progdefs.json" >/dev/null
echo '{"name": "fail", "command": ["dagyo", "exec", "--", "false"], "scaling": {"jobsPerExecutor": 1, "maxExecutors": 1}}' >"$dir/fail.json"
dagyo progdef apply "$dir/fail.json" >/dev/null

# The trace of the caller goes through the flow into the command, whose parent is the job's span.
trace=4bf92f3577b34da6a3ce929d0e0e4736
shown=$(TRACEPARENT=00-$trace-00f067aa0ba902b7-01 dagyo run --progress none --id good "$dir/good.json")
has good "flow Unset -
$phases
job_show Unset show"
spans | grep -q "^$trace 00f067aa0ba902b7 .* flow Unset good"
spans | grep -q "^$trace .* $(cut -d- -f3 <<<"$shown") job_show Unset good"

dagyo run --progress none --id bad "$dir/bad.json" >/dev/null 2>&1 && exit 1
has bad "flow Error fail
$phases
job_fail Error fail"
echo '{"nodes": {"x": {"progdef": "nosuch"}}}' | dagyo submit --id wrong - >/dev/null 2>&1 && exit 1
has wrong 'flow Error -
validate Error -'

TRACEPARENT=00-$trace-00f067aa0ba902b7-00 dagyo run --progress none --id unsampled "$dir/good.json" >/dev/null

# Dagyo is killed when a flow has ended, and started again: what it has not sent, it sends now. What it has sent may arrive
# again, with the same ids.
dagyo run --progress none --id last "$dir/good.json" >/dev/null
{ kill -9 "$dagyo" && wait "$dagyo"; } 2>/dev/null || true
up --http ''
repeated=-u has last "flow Unset -
$phases
job_show Unset show"
repeated=-u has good "flow Unset -
$phases
job_show Unset show"
has unsampled ''

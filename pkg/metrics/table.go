package metrics

// A Name is the name of an instrument, as Prometheus shows it.
type Name string

// What the panic-aggregator measures.
const (
	FlowSubmissions       Name = "dagyo_flow_submissions_total"
	FlowRejections        Name = "dagyo_flow_rejections_total"
	FlowVerdicts          Name = "dagyo_flow_verdicts_total"
	FlowStartLatency      Name = "dagyo_flow_start_latency_seconds"
	FlowDuration          Name = "dagyo_flow_duration_seconds"
	FlowsLive             Name = "dagyo_flows_live"
	FlowsStalled          Name = "dagyo_flows_stalled"
	SubmissionsUnanswered Name = "dagyo_submissions_unanswered"
	JobsRunning           Name = "dagyo_jobs_running"
	DeadLetters           Name = "dagyo_deadletters_total"
	HistoryFlows          Name = "dagyo_history_flows"
	Webhooks              Name = "dagyo_webhooks"
	WebhookAttempts       Name = "dagyo_webhook_attempts_total"
	WebhooksGivenUp       Name = "dagyo_webhook_events_given_up_total"
)

// What the spawner measures.
const (
	FlowsQueued     Name = "dagyo_flows_queued"
	QueueOldest     Name = "dagyo_flow_queue_oldest_seconds"
	Slots           Name = "dagyo_slots"
	Executors       Name = "dagyo_executors"
	ExecutorsLimit  Name = "dagyo_executors_limit"
	ExecutorsFailed Name = "dagyo_executors_failed_in_a_row"
	ExecutorStarts  Name = "dagyo_executor_starts_total"
	ExecutorExits   Name = "dagyo_executor_exits_total"
)

// What every replica of a service measures.
const (
	ServiceLeader      Name = "dagyo_service_leader"
	ServiceCurrent     Name = "dagyo_service_current"
	ServiceLag         Name = "dagyo_service_events_lag"
	ServiceFolded      Name = "dagyo_service_events_folded_total"
	ServiceFoldSeconds Name = "dagyo_service_fold_seconds_total"
	ServiceEffects     Name = "dagyo_service_effects_total"
	ServiceRetries     Name = "dagyo_service_retries_total"
	SnapshotBytes      Name = "dagyo_service_snapshot_bytes"
	SnapshotAge        Name = "dagyo_service_snapshot_age_seconds"
	Asks               Name = "dagyo_asks_total"
	AsksWaiting        Name = "dagyo_asks_waiting"
	NATSConnected      Name = "dagyo_nats_connected"
	NATSReconnects     Name = "dagyo_nats_reconnects_total"
)

// What the gateway measures.
const (
	HTTPRequests Name = "dagyo_http_requests_total"
	HTTPSeconds  Name = "dagyo_http_request_seconds"
	HTTPSessions Name = "dagyo_http_sessions"
	HTTPStreams  Name = "dagyo_http_streams"
)

// A Kind is a kind of instrument.
type Kind string

// The kinds of instruments.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Who exports a value.
const (
	ByLeader  = "leader"  // the leading replica only
	ByReplica = "replica" // each replica, about itself
)

// An Instrument is something that is measured.
type Instrument struct {
	Name Name
	Kind Kind
	// Read is true of counters that are read when values are exported.
	Read bool
	// Unit is a UCUM code, such as s, By or {flow}.
	Unit string
	// Labels are the names of its labels.
	Labels []string
	// Values are the labels behind tenant and service with which a counter begins at 0, so that the first event is an
	// increase. A counter with many codes has none.
	Values [][]string
	// Of is the service that measures it, "" for every service. By is ByLeader or ByReplica.
	Of, By string
	// Doc is one sentence.
	Doc string
	// Bounds are the upper bounds of a histogram's buckets.
	Bounds []float64
}

const (
	tenant, service = "tenant", "service"

	aggregator, spawner, gateway = "panic-aggregator", "spawner", "gateway"
)

// Table returns all instruments.
func Table() []Instrument {
	starts := []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 300, 1800}
	durations := []float64{.01, .1, .5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600}
	requests := []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 60, 600, 3600}
	none := [][]string{{}}
	verdicts := [][]string{
		{"completed", ""}, {"cancelled", ""}, {"panic", "error"}, {"panic", "deserialization"}, {"panic", "crash"},
		{"panic", "protocol"}, {"panic", "lost-health"}, {"panic", "deadline"}, {"panic", "drained"}, {"panic", "lost-edges"},
	}
	reasons := [][]string{{"clean"}, {"error"}, {"signal"}, {"refused"}, {"unknown"}}
	outcomes := [][]string{{"delivered"}, {"failed"}}
	return []Instrument{
		{Name: FlowSubmissions, Kind: Counter, Unit: "{flow}", Labels: []string{tenant}, Values: none, Of: aggregator, By: ByLeader,
			Doc: "Events flow.submit, repeated and invalid ones included."},
		{Name: FlowRejections, Kind: Counter, Unit: "{flow}", Labels: []string{tenant, "code"}, Of: aggregator, By: ByLeader,
			Doc: "Events flow.rejected, by the code of the first problem."},
		{Name: FlowVerdicts, Kind: Counter, Unit: "{flow}", Labels: []string{tenant, "verdict", "kind"}, Values: verdicts, Of: aggregator, By: ByLeader,
			Doc: "Flows that have ended: completed, panic or cancelled. The kind is that of the first cause of a panic."},
		{Name: FlowStartLatency, Kind: Histogram, Unit: "s", Labels: []string{tenant, "phase"}, Of: aggregator, By: ByLeader, Bounds: starts,
			Doc: "Time from flow.submit until the flow is validated, planned and spawned, and until the first of its jobs is started."},
		{Name: FlowDuration, Kind: Histogram, Unit: "s", Labels: []string{tenant, "verdict"}, Of: aggregator, By: ByLeader, Bounds: durations,
			Doc: "Time from flow.validated to the verdict, the wait for capacity included."},
		{Name: FlowsLive, Kind: Gauge, Unit: "{flow}", Labels: []string{tenant}, Of: aggregator, By: ByLeader,
			Doc: "Validated flows without a verdict."},
		{Name: FlowsStalled, Kind: Gauge, Unit: "{flow}", Labels: []string{tenant}, Of: aggregator, By: ByLeader,
			Doc: "Live flows in which no record moves: the last flow.stalled is true."},
		{Name: SubmissionsUnanswered, Kind: Gauge, Unit: "{flow}", Labels: []string{tenant}, Of: aggregator, By: ByLeader,
			Doc: "Submitted flows that the validator has not answered yet; at most 10,000 are counted."},
		{Name: JobsRunning, Kind: Gauge, Unit: "{job}", Labels: []string{tenant}, Of: aggregator, By: ByLeader,
			Doc: "Jobs of live flows that are started and have not ended."},
		{Name: DeadLetters, Kind: Counter, Unit: "{message}", Labels: []string{tenant, "code"}, Of: aggregator, By: ByLeader,
			Doc: "Events deadletter, by the code of the first problem."},
		{Name: HistoryFlows, Kind: Gauge, Unit: "{flow}", Labels: []string{tenant}, Of: aggregator, By: ByLeader,
			Doc: "Ended flows in history."},
		{Name: Webhooks, Kind: Gauge, Unit: "{webhook}", Labels: []string{tenant, "state"}, Of: aggregator, By: ByLeader,
			Doc: "Webhooks: on, failing (on, and the last attempt has failed), or off (the receiver was gone)."},
		{Name: WebhookAttempts, Kind: Counter, Unit: "{request}", Labels: []string{tenant, "outcome"}, Values: outcomes, Of: aggregator, By: ByLeader,
			Doc: "Attempts to deliver an event to a webhook: delivered or failed."},
		{Name: WebhooksGivenUp, Kind: Counter, Unit: "{event}", Labels: []string{tenant}, Values: none, Of: aggregator, By: ByLeader,
			Doc: "Events for webhooks that were not delivered in time and are not tried again."},

		{Name: FlowsQueued, Kind: Gauge, Unit: "{flow}", Labels: []string{tenant}, Of: spawner, By: ByLeader,
			Doc: "Planned flows that wait for capacity."},
		{Name: QueueOldest, Kind: Gauge, Unit: "s", Labels: []string{tenant}, Of: spawner, By: ByLeader,
			Doc: "How long the oldest of these has waited; 0 if none waits."},
		{Name: Slots, Kind: Gauge, Unit: "{slot}", Labels: []string{tenant, "progdef", "state"}, Of: spawner, By: ByLeader,
			Doc: "Slots of running executors: used by granted jobs that have not ended, or free. Only progdefs with executors are listed, so there are never more than executors."},
		{Name: Executors, Kind: Gauge, Unit: "{executor}", Labels: []string{tenant, "state"}, Of: spawner, By: ByLeader,
			Doc: "Executors that are started and have not exited: busy with jobs, idle, or draining."},
		{Name: ExecutorsLimit, Kind: Gauge, Unit: "{executor}", Labels: []string{tenant}, Of: spawner, By: ByLeader,
			Doc: "Executors that the tenant may have: `--max-executors`, or the tenant's own limit."},
		{Name: ExecutorsFailed, Kind: Gauge, Unit: "{executor}", Labels: []string{tenant}, Of: spawner, By: ByLeader,
			Doc: "Executors in a row that exited before they started a job, of the progdef with the most."},
		{Name: ExecutorStarts, Kind: Counter, Unit: "{executor}", Labels: []string{tenant}, Values: none, Of: spawner, By: ByLeader,
			Doc: "Events executor.started."},
		{Name: ExecutorExits, Kind: Counter, Unit: "{executor}", Labels: []string{tenant, "reason"}, Values: reasons, Of: spawner, By: ByLeader,
			Doc: "Events executor.exited: clean (exit code 0), error (another code), signal, refused (it can never run as its progdef asks), or unknown."},

		{Name: ServiceLeader, Kind: Gauge, Unit: "1", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "1 if the replica leads: it holds the lease and decides."},
		{Name: ServiceCurrent, Kind: Gauge, Unit: "1", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "1 once the replica has folded what EVENTS held when it started."},
		{Name: ServiceLag, Kind: Gauge, Unit: "{message}", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "Messages in EVENTS behind the last one that the replica has folded, as of when NATS sent that one."},
		{Name: ServiceFolded, Kind: Counter, Read: true, Unit: "{message}", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "Messages of EVENTS that the replica has folded since it started."},
		{Name: ServiceFoldSeconds, Kind: Counter, Read: true, Unit: "s", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "Time that it spent on that; a rate near 1 is the limit of a service."},
		{Name: ServiceEffects, Kind: Counter, Read: true, Unit: "{effect}", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "Effects that the replica has performed and published while it led."},
		{Name: ServiceRetries, Kind: Counter, Read: true, Unit: "{effect}", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "Attempts that failed and are repeated."},
		{Name: SnapshotBytes, Kind: Gauge, Unit: "By", Labels: []string{tenant, service}, By: ByLeader,
			Doc: "Size of the newest snapshot."},
		{Name: SnapshotAge, Kind: Gauge, Unit: "s", Labels: []string{tenant, service}, By: ByLeader,
			Doc: "Time since the last event in the newest snapshot, if later ones are folded; 0 if there are none."},
		{Name: Asks, Kind: Counter, Unit: "{request}", Labels: []string{tenant, "subject", "code"}, By: ByReplica,
			Doc: "Answered questions (`ask.…`), by the code of the answer; 200 is no error."},
		{Name: AsksWaiting, Kind: Gauge, Unit: "{request}", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "Questions that wait for their turn."},
		{Name: NATSConnected, Kind: Gauge, Unit: "1", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "1 if the replica is connected to NATS."},
		{Name: NATSReconnects, Kind: Counter, Read: true, Unit: "{connection}", Labels: []string{tenant, service}, By: ByReplica,
			Doc: "How often the replica has connected again."},

		{Name: HTTPRequests, Kind: Counter, Unit: "{request}", Labels: []string{"route", "status"}, Of: gateway, By: ByReplica,
			Doc: "Requests of the HTTP API that have ended: 2xx, 4xx, 5xx, or aborted, in the middle of the answer."},
		{Name: HTTPSeconds, Kind: Histogram, Unit: "s", Labels: []string{"route"}, Of: gateway, By: ByReplica, Bounds: requests,
			Doc: "Time until their answers ended, which is long for streams."},
		{Name: HTTPSessions, Kind: Gauge, Unit: "{connection}", Of: gateway, By: ByReplica,
			Doc: "Connections of users to NATS that the gateway keeps."},
		{Name: HTTPStreams, Kind: Gauge, Unit: "{request}", Of: gateway, By: ByReplica,
			Doc: "Running requests that feed, read, run or follow a flow."},
	}
}

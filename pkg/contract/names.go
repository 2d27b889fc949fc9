package contract

import (
	"strconv"
	"strings"
)

// JetStream streams and key-value buckets.
const (
	StreamEvents    = "EVENTS"    // every event (file, limits retention)
	StreamJobs      = "JOBS"      // the mailboxes (file, work-queue retention)
	StreamHistory   = "HISTORY"   // the statuses of ended flows, in segments (file, limits retention)
	StreamSnapshots = "SNAPSHOTS" // the states of services, from which they start (file)
	StreamLogs      = "LOGS"      // what jobs log (file, limits retention)
	StreamWebhooks  = "WEBHOOKS"  // verdicts to be sent to webhooks: a copy of those in EVENTS (file, limits retention)
	StreamLeases    = "LEASES"    // which replica of a service leads, and the names of executors (file)
	BucketProgdefs  = "progdefs"  // the catalogue, by progdef name
	BucketTypes     = "types"     // the type catalogue, by TypeKey
	BucketWebhooks  = "webhooks"  // the webhooks, and what became of their deliveries
	BucketData      = "data"      // object store: data of events too large for a message
)

// SubjectHistory carries the segments of StreamHistory.
const SubjectHistory = "history.segment"

// EdgeStreamPrefix is the prefix of the names of the streams that store edges. An installation has a few of them,
// the shards; each flow is a subject prefix in one.
const EdgeStreamPrefix = "EDGES-"

// EdgeStream is the JetStream stream of a shard. It keeps the last message on each subject.
func EdgeStream(shard string) string { return EdgeStreamPrefix + shard }

// EdgeStreamSubjects matches everything in a shard.
func EdgeStreamSubjects(shard string) string { return "edges." + shard + ".*.>" }

// FlowEdges matches everything that a shard stores for one flow: frames, credits and stops.
func FlowEdges(shard, flow string) string { return "edges." + shard + "." + flow + ".>" }

// FlowOfEdge returns the flow of a subject in a shard, or "" if the subject belongs to no flow.
func FlowOfEdge(subject string) string {
	tokens := strings.SplitN(subject, ".", 4)
	if len(tokens) < 4 || tokens[0] != "edges" {
		return ""
	}
	return tokens[2]
}

// EdgeSubject, with a slot appended, stores a frame of the flow's n-th edge.
func EdgeSubject(shard, flow string, n int) string {
	return "edges." + shard + "." + flow + ".frame." + strconv.Itoa(n)
}

// FlowFrames matches every frame that a shard stores for one flow.
func FlowFrames(shard, flow string) string { return "edges." + shard + "." + flow + ".frame.>" }

// CreditSubject carries what the reader of the flow's n-th edge has consumed.
func CreditSubject(shard, flow string, n int) string {
	return "edges." + shard + "." + flow + ".credit." + strconv.Itoa(n)
}

// EdgeOfCredit returns the subject of the frames of the edge whose credits are on the given subject.
func EdgeOfCredit(subject string) string {
	tokens := strings.Split(subject, ".")
	if len(tokens) < 4 {
		return ""
	}
	tokens[3] = "frame"
	return strings.Join(tokens, ".")
}

// EdgeFrames and EdgeCredits match all frames and credits that are stored, of edges that are not sealed.
const (
	EdgeFrames  = "edges.*.*.frame.*.*"
	EdgeCredits = "edges.*.*.credit.*"
)

// CreditSubjects match all credits of a flow, whatever its shard: those of sealed edges are second.
func CreditSubjects(flow string) []string {
	all := "edges.*." + flow + ".credit.*"
	return []string{all, FromAny(all)}
}

// DirectSubject, with the reader's token appended, carries frames of the flow's n-th edge that no stream
// stores.
func DirectSubject(flow string, n int) string { return "direct." + flow + "." + strconv.Itoa(n) }

// StopSubject stops all jobs of a flow except the reporting ones. The stop is stored, so that a job that starts
// later sees it too. While the flow is running, the subject holds Running.
func StopSubject(shard, flow string) string { return "edges." + shard + "." + flow + ".stop" }

// LastStopSubject stops the reporting jobs of a flow: those downstream of a connected panic port.
func LastStopSubject(shard, flow string) string { return "edges." + shard + "." + flow + ".last-stop" }

// StopSubjects are the subjects that stop a flow whose edges are in the given stream; that of its reporting jobs is
// last.
func StopSubjects(stream, flow string) []string {
	if stream == "" {
		return nil
	}
	shard, ok := strings.CutPrefix(stream, EdgeStreamPrefix)
	if !ok {
		return []string{"stop." + flow, "stop." + flow + ".last"}
	}
	return []string{StopSubject(shard, flow), LastStopSubject(shard, flow)}
}

// Running is the message on a stop subject until the flow is stopped. If the subject holds nothing, the flow was
// cleaned up.
const Running = "running"

// OldFlowStreamPrefix is the prefix of the name of a flow's own stream before version 0.2.
const OldFlowStreamPrefix = "FLOW-"

// OldFlowStream is the stream of a flow that was planned before version 0.2. Its stop subject held nothing until
// the flow was stopped.
func OldFlowStream(flow string) string { return OldFlowStreamPrefix + flow }

// SecretOfEdges is the name of the secret, in SNAPSHOTS, from which the keys of sealed edges are derived. SecretSubject
// holds it.
const SecretOfEdges = "edges"

// SecretOfWebhooks is the name of the secret, in SNAPSHOTS, from which the keys of webhooks are derived.
const SecretOfWebhooks = "webhooks"

// SecretSubject holds a secret that replicas share.
func SecretSubject(name string) string { return "secret." + name }

// LeaseSubject holds the lease of the replica that leads a service.
func LeaseSubject(service string) string { return "lease." + service }

// Services are the names of the services that an installation is made of.
func Services() []string { return []string{"validator", "planner", "spawner", "panic-aggregator"} }

// NameSubject holds the id of an executor from the start of its program until its end is reported: no
// second program may run under the same id.
func NameSubject(executor string) string { return "name." + executor }

// NamedExecutor is the inverse of NameSubject.
func NamedExecutor(subject string) string { return strings.TrimPrefix(subject, "name.") }

// HealthSubject is the plain NATS subject of a job's heartbeats.
func HealthSubject(flow, job string) string { return "health." + flow + "." + job }

// HealthSubjects matches every heartbeat.
const HealthSubjects = "health.*.*"

// ClientSubject is the plain NATS subject for heartbeats of a client that feeds or reads a flow. A heartbeat
// without data means that the flow no longer depends on the client.
func ClientSubject(flow, client string) string { return "client." + flow + "." + client }

// ClientSubjects matches every heartbeat of a client.
const ClientSubjects = "client.*.*"

// LogSubject is the plain subject of what a job logs.
func LogSubject(flow, job string) string { return "log." + flow + "." + job }

// LogSubjects matches everything that jobs log, without who publishes it.
const LogSubjects = "log.*.*"

// JobOfLog returns the job and the executor of a subject in StreamLogs, or "" if it is none.
func JobOfLog(subject string) (job, executor string) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 5 || tokens[0] != "log" || tokens[3] != "by" {
		return "", ""
	}
	return tokens[2], tokens[4]
}

// DeadLetterSubject is the plain NATS subject of the answer to a message in EVENTS that could not be read or carried
// out. Its sender knows the message's place from JetStream's acknowledgement.
func DeadLetterSubject(seq uint64) string {
	return string(TypeDeadLetter) + "." + strconv.FormatUint(seq, 10)
}

// ReleaseSubject is the plain NATS subject on which a client states that the flow's outputs are needed only until they
// are read.
func ReleaseSubject(flow string) string { return "release." + flow }

// ReleaseSubjects matches every release.
const ReleaseSubjects = "release.*"

// Mailbox names the mailbox of a progdef revision, as in DAGYO_JOBS.
func Mailbox(progdef, revision string) string { return progdef + "." + revision }

// SplitMailbox is the inverse of Mailbox.
func SplitMailbox(mailbox string) (progdef, revision string) {
	progdef, revision, _ = strings.Cut(mailbox, ".")
	return progdef, revision
}

// MailboxConsumer is the durable consumer that the executors of a revision share.
func MailboxConsumer(progdef, revision string) string { return progdef + "-" + revision }

// MailboxSubjects matches every job of a revision.
func MailboxSubjects(progdef, revision string) string {
	return "jobs." + progdef + "." + revision + ".*.*"
}

// JobSubject is the subject of a job that is waiting to be claimed.
func JobSubject(progdef, revision, flow, job string) string {
	return "jobs." + progdef + "." + revision + "." + flow + "." + job
}

// FlowOfJob returns the flow of a job's subject, or "" for any other subject.
func FlowOfJob(subject string) string {
	if tokens := strings.Split(subject, "."); len(tokens) == 5 && tokens[0] == "jobs" {
		return tokens[3]
	}
	return ""
}

// FlowJobSubjects matches the waiting jobs of one flow.
func FlowJobSubjects(flow string) string { return "jobs.*.*." + flow + ".*" }

// Environment of an executor (docs/protocol.md).
const (
	EnvQueue    = "DAGYO_QUEUE"    // NATS URL list
	EnvJobs     = "DAGYO_JOBS"     // mailbox, "<progdef>.<revision>"
	EnvExecutor = "DAGYO_EXECUTOR" // the executor's id
	EnvSlots    = "DAGYO_SLOTS"    // jobs to run at the same time
	EnvGrace    = "DAGYO_GRACE"    // time from SIGTERM to giving up the running jobs
	// EnvSecrets names the variables whose values are masked in what jobs log, separated by commas; behind a first *,
	// the only ones whose values are not.
	EnvSecrets = "DAGYO_SECRETS"
	// EnvHTTPGetAllow lists the addresses, networks and hosts that the standard progdefs http_get and http_post may
	// access although they are not public, separated by commas.
	EnvHTTPGetAllow = "DAGYO_HTTP_GET_ALLOW"
	EnvCreds        = "DAGYO_CREDS"    // NATS credentials file
	EnvTLSCA        = "DAGYO_TLS_CA"   // certificates of the authorities to trust for NATS
	EnvTLSCert      = "DAGYO_TLS_CERT" // our own certificate
	EnvTLSKey       = "DAGYO_TLS_KEY"  // its key
)

// Requests, which no stream stores.
const (
	AskFlowValidate      = "ask.flow.validate"
	AskCatalogList       = "ask.catalog.list"
	AskCatalogGet        = "ask.catalog.get"
	AskCatalogCheck      = "ask.catalog.check" // a CatalogCheck; answered with a CatalogChecked
	AskCatalogCompatible = "ask.catalog.compatible"
	AskCatalogTypes      = "ask.catalog.types"
	AskExecutors         = "ask.executors"
	AskUsage             = "ask.usage"        // nothing; answered with a Usage
	AskFlowGet           = "ask.flow.get"     // a flow's id; answered with a FlowStatus, or error 404
	AskFlowKeys          = "ask.flow.keys"    // a flow's id; answered with FlowKeys, to its owner only
	AskJobExecutor       = "ask.job.executor" // a flow's id, a dot, and a job's; answered with a JobExecutor
	AskFlowList          = "ask.flow.list"    // a FlowQuery, or nothing; answered with a FlowPage
	AskWebhookList       = "ask.webhook.list" // a webhook's name, or nothing; answered with WebhookStatus
)

// CodeLeaving is the code of an error answer of a service that is being stopped: another replica, or its next start, can
// answer the question.
const CodeLeaving = "503"

// HeaderAfter is the header, on questions about flows and webhooks, with the sequence number of an event of a flow, job or
// webhook: the answer must include it. It is also on the answer, with that of the last event that is included: a service that is behind
// answers after a second all the same.
const HeaderAfter = "Dagyo-After"

// AsOf reports whether the answers to a question heed HeaderAfter.
func AsOf(question string) bool {
	return question == AskFlowGet || question == AskFlowList || question == AskWebhookList
}

// HeaderTime is the header, on the answers of services, with the time of the NATS server.
const HeaderTime = "Dagyo-Time"

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
	StreamLeases    = "LEASES"    // which replica of a service leads, and the names of executors (file)
	BucketProgdefs  = "progdefs"  // the catalogue, by progdef name
	BucketTypes     = "types"     // the type catalogue, by TypeKey
	BucketData      = "data"      // object store: data of events too large for a message
)

// SubjectHistory carries the segments of StreamHistory.
const SubjectHistory = "history.segment"

// FlowStreamPrefix begins the name of every flow's own stream.
const FlowStreamPrefix = "FLOW-"

// FlowStream is the JetStream stream that stores a flow's edges, credits and stop.
func FlowStream(flow string) string { return FlowStreamPrefix + flow }

// FlowStreamSubjects lists the subjects of a flow's stream.
func FlowStreamSubjects(flow string) []string {
	return []string{
		"edge." + flow + ".*", "credit." + flow + ".*", StopSubject(flow), LastStopSubject(flow),
	}
}

// EdgeSubject carries the frames of the flow's n-th edge.
func EdgeSubject(flow string, n int) string { return "edge." + flow + "." + strconv.Itoa(n) }

// CreditSubject carries what the reader of the flow's n-th edge has consumed.
func CreditSubject(flow string, n int) string { return "credit." + flow + "." + strconv.Itoa(n) }

// DirectSubject, with the reader's token appended, carries frames of the flow's n-th edge that no
// stream stores.
func DirectSubject(flow string, n int) string { return "direct." + flow + "." + strconv.Itoa(n) }

// StopSubject ends all jobs of a flow but the reporting ones. It is stored, so that a job that starts
// later sees it too.
func StopSubject(flow string) string { return "stop." + flow }

// LastStopSubject ends the reporting jobs of a flow: those that a wired panic leads to.
func LastStopSubject(flow string) string { return "stop." + flow + ".last" }

// LeaseSubject holds the lease of the replica that leads a service.
func LeaseSubject(service string) string { return "lease." + service }

// Services are the names of the services that an installation is made of.
func Services() []string { return []string{"validator", "planner", "spawner", "panic-aggregator"} }

// NameSubject holds the id of an executor from the start of its program until its end is reported: no
// second program may run under it.
func NameSubject(executor string) string { return "name." + executor }

// NamedExecutor is the inverse of NameSubject.
func NamedExecutor(subject string) string { return strings.TrimPrefix(subject, "name.") }

// HealthSubject is the plain NATS subject of a job's signs of life.
func HealthSubject(flow, job string) string { return "health." + flow + "." + job }

// HealthSubjects matches every sign of life.
const HealthSubjects = "health.*.*"

// ReleaseSubject is the plain NATS subject on which a client says that it has read all outputs.
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

// JobSubject is where one job waits to be claimed.
func JobSubject(progdef, revision, flow, job string) string {
	return "jobs." + progdef + "." + revision + "." + flow + "." + job
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
	EnvCreds    = "DAGYO_CREDS"    // NATS credentials file
	EnvTLSCA    = "DAGYO_TLS_CA"   // certificates of the authorities that may vouch for NATS
	EnvTLSCert  = "DAGYO_TLS_CERT" // our own certificate
	EnvTLSKey   = "DAGYO_TLS_KEY"  // its key
)

// Questions are asked as requests, outside every stream.
const (
	AskFlowValidate      = "ask.flow.validate"
	AskCatalogList       = "ask.catalog.list"
	AskCatalogGet        = "ask.catalog.get"
	AskCatalogCompatible = "ask.catalog.compatible"
	AskCatalogTypes      = "ask.catalog.types"
	AskExecutors         = "ask.executors"
	AskFlowGet           = "ask.flow.get"  // a flow's id; answered with a FlowStatus, or error 404
	AskFlowList          = "ask.flow.list" // a FlowQuery, or nothing; answered with a FlowPage
)

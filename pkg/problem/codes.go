package problem

import "slices"

// A Code names a broken rule. Codes are part of the contract: never change or reuse one.
type Code string

// Problems of the envelope and of JSON itself.
const (
	NotCloudEvent  Code = "not-a-cloudevent" // neither binary nor structured CloudEvent
	UnknownType    Code = "unknown-type"     // the subject does not carry events of this type
	NotJSON        Code = "not-json"         // not well-formed JSON
	DuplicateKey   Code = "duplicate-key"    // an object names one key twice
	TooDeep        Code = "too-deep"         // nested deeper than the limit
	TooLarge       Code = "too-large"        // larger than the limit
	SchemaMismatch Code = "schema"           // breaks the document's JSON Schema
	UnknownField   Code = "unknown-field"    // a field that the schema does not have
	BadName        Code = "bad-name"         // a name that cannot be a NATS token
)

// Problems of a flow's graph.
const (
	UnknownProgdef Code = "unknown-progdef"
	UnknownNode    Code = "unknown-node"
	UnknownPort    Code = "unknown-port"
	BadEndpoint    Code = "bad-endpoint"    // not of the form node.port
	WrongDirection Code = "wrong-direction" // an input used as an output, or the other way round
	NoSource       Code = "no-source"       // an input without a source
	ManySources    Code = "many-sources"    // an input with several sources
	NoSink         Code = "no-sink"         // an output without a reader
	ManySinks      Code = "many-sinks"      // an output with several readers
	Cycle          Code = "cycle"           // the graph has a cycle
	TypeMismatch   Code = "type-mismatch"   // the two ends of an edge have different typenames
	BadTypename    Code = "bad-typename"    // not a typename by the grammar
	BadValue       Code = "bad-value"       // a const value that does not match its type or encoding
	TooMany        Code = "too-many"        // more nodes, edges, values … than the limit
	BadPriority    Code = "bad-priority"    // a priority above the limit
	BadDuration    Code = "bad-duration"    // not a duration, or out of its range
	BadImage       Code = "bad-image"       // an image reference that cannot be pinned
	NothingToRun   Code = "nothing-to-run"  // a progdef with neither image nor command
	BadScaling     Code = "bad-scaling"     // scaling numbers that contradict each other
	BadResource    Code = "bad-resource"    // a resource quantity that cannot be read
	BadEnvironment Code = "bad-environment" // a reserved or malformed environment variable
	BadURL         Code = "bad-url"         // a URL to which nothing can be sent
	PolicyRefused  Code = "policy"          // refused by the installation's admission policy
)

// Problems of types that have variables.
const (
	BadTypeParam     Code = "bad-type-param"     // a malformed type parameter, or a built-in's name
	UnusedTypeParam  Code = "unused-type-param"  // a type parameter that no port uses
	UnknownTypeParam Code = "unknown-type-param" // a node sets a type parameter that its progdef lacks
	BuiltinType      Code = "builtin-type"       // documentation of a type that is built into Dagyo
	InfiniteType     Code = "infinite-type"      // a type that would have to contain itself
	UnsolvedType     Code = "unsolved-type"      // a type variable that nothing in the flow determines
)

// Problems found after a flow was validated.
const (
	NeverFits       Code = "never-fits"       // needs more capacity than there will ever be
	QueuedTooLong   Code = "queued-too-long"  // waited for capacity for longer than flows may
	QueueFull       Code = "queue-full"       // too many flows wait for capacity
	RateLimited     Code = "rate-limited"     // submitted more flows a second than a tenant or user may
	BrokerBudget    Code = "broker-budget"    // the broker may not have room for another such flow
	BrokerRefused   Code = "broker-refused"   // the broker refused a stream, a consumer or a message
	StartRefused    Code = "start-refused"    // an executor cannot be started as the progdef asks
	NotAnswerable   Code = "not-answerable"   // a message about something that does not exist
	UnknownWebhook  Code = "unknown-webhook"  // a command about a webhook that does not exist
	NotYours        Code = "not-yours"        // an event about what belongs to another sender
	Relayed         Code = "relayed"          // a copy of a stored message, sent by the broker
	IDTaken         Code = "id-taken"         // a flow id that was used for another document
	Resubmitted     Code = "resubmitted"      // a document that was submitted before under the same flow id
	Skipped         Code = "skipped"          // an operator has skipped the event
	GaveUp          Code = "gave-up"          // a transient error that persisted
	InternalFailure Code = "internal-failure" // a defect of Dagyo itself
)

// Known reports whether a code is one of these.
func (c Code) Known() bool { return slices.Contains(Codes(), c) }

// Codes returns all codes.
func Codes() []Code {
	return []Code{
		NotCloudEvent, UnknownType, NotJSON, DuplicateKey, TooDeep, TooLarge,
		SchemaMismatch, UnknownField, BadName, UnknownProgdef, UnknownNode, UnknownPort,
		BadEndpoint, WrongDirection, NoSource, ManySources, NoSink, ManySinks,
		Cycle, TypeMismatch, BadTypename, BadValue, TooMany, BadPriority,
		BadDuration, BadImage, NothingToRun, BadScaling, BadResource, BadEnvironment, BadURL,
		PolicyRefused, BadTypeParam, UnusedTypeParam, UnknownTypeParam, BuiltinType, InfiniteType,
		UnsolvedType, NeverFits, QueuedTooLong, QueueFull, RateLimited, BrokerBudget,
		BrokerRefused, StartRefused, NotAnswerable, UnknownWebhook, NotYours, Relayed, IDTaken,
		Resubmitted, Skipped, GaveUp, InternalFailure,
	}
}

package contract

import "math"

// A Question is a request that a service answers at once; no stream stores it.
type Question struct {
	// Subject is the request's subject, By the service that answers.
	Subject, By string
	// Text describes the request's body if it is not JSON; it is "" for JSON or an empty body. Optional is true if the
	// body may be empty.
	Text     string
	Optional bool
	// Asked is the schema of the request's body, or "" if it is not JSON.
	Asked string
	// Document is true if the body has a document: then it may be as large as a message.
	Document bool
	// Answers are the possible forms of the answer.
	Answers []Answer
	// Doc is one sentence for docs/events.md.
	Doc string
}

// An Answer is one form of the answer to a Question.
type Answer struct {
	// Schema is the schema of the answer, or of its elements if it is a List. If Event is set, the answer is a
	// CloudEvent of that type.
	Schema string
	List   bool
	Event  Type
}

// QuestionLimit limits the body of a request, in bytes.
func QuestionLimit(subject string) int {
	for _, q := range Questions {
		switch {
		case q.Subject != subject:
		case q.Document:
			return math.MaxInt
		case q.Asked != "":
			return queryLimit
		}
	}
	return nameLimit
}

const (
	queryLimit = 64 << 10
	nameLimit  = 1 << 10
)

// Questions lists every question, in the order of their subjects.
var Questions = []Question{
	{
		Subject: AskCatalogCheck, By: "validator", Asked: "check-query", Document: true, Answers: []Answer{{Schema: "checked"}},
		Doc: "What publishing types and progdefs one after another would give. Nothing is changed.",
	},
	{
		Subject: AskCatalogCompatible, By: "validator", Asked: "compatible-query", Document: true, Answers: []Answer{{Schema: "compatible"}},
		Doc: "The ports that a port can be connected to.",
	},
	{
		Subject: AskCatalogGet, By: "validator", Text: "the progdef's name", Answers: []Answer{{Schema: "published"}},
		Doc: "One progdef of the catalogue.",
	},
	{
		Subject: AskCatalogList, By: "validator", Optional: true, Answers: []Answer{{Schema: "published", List: true}},
		Doc: "Every progdef of the catalogue.",
	},
	{
		Subject: AskCatalogTypes, By: "validator", Text: "a typename", Optional: true,
		Answers: []Answer{{Schema: "type-line", List: true}, {Schema: "type"}},
		Doc:     "A line for each documented type, or the document of the named one.",
	},
	{
		Subject: AskExecutors, By: "spawner", Text: "a progdef's name", Optional: true,
		Answers: []Answer{{Schema: "capacity", List: true}},
		Doc:     "The executors and jobs of each revision of the named progdef, or of all progdefs.",
	},
	{
		Subject: AskFlowGet, By: "panic-aggregator", Text: "the flow's id", Answers: []Answer{{Schema: "flow-status"}},
		Doc: "The status of a flow, or how it ended; error 404 for an unknown flow.",
	},
	{
		Subject: AskFlowKeys, By: "planner", Text: "the flow's id", Answers: []Answer{{Schema: "flow-keys"}},
		Doc: "The keys of a flow's sealed edges, for its owner; error 403 for anybody else, 404 for a flow that is not planned or is cleaned up.",
	},
	{
		Subject: AskFlowList, By: "panic-aggregator", Asked: "flow-query", Optional: true,
		Answers: []Answer{{Schema: "flow-page"}},
		Doc:     "The flows that meet the given conditions, in pages.",
	},
	{
		Subject: AskFlowValidate, By: "validator", Asked: "flow", Document: true,
		Answers: []Answer{{Event: TypeFlowValidated}, {Event: TypeFlowRejected}},
		Doc:     "The event that a submission of the document would get. Nothing is started.",
	},
	{
		Subject: AskJobExecutor, By: "panic-aggregator", Text: "the flow's id, a dot, and the job's id",
		Answers: []Answer{{Schema: "job-executor"}},
		Doc:     "The executor that has started a job of a flow that is not cleaned up: the first one, if others claim the same.",
	},
	{
		Subject: AskUsage, By: "spawner", Optional: true, Answers: []Answer{{Schema: "usage"}},
		Doc: "What the tenant and its users hold, and their limits.",
	},
	{
		Subject: AskWebhookList, By: "panic-aggregator", Text: "a webhook's name", Optional: true,
		Answers: []Answer{{Schema: "webhook-status", List: true}},
		Doc:     "The webhooks, by name, and what became of their deliveries; none if there is none with the name.",
	},
}

package contract

import (
	"encoding/json"
	"strings"

	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/typedoc"
)

// TypeApply is the document of a type as sent by the user; package typedoc checks it. The event's subject, or
// its id if the sender omits the subject, only serves to distinguish answers: the identifiers of typenames need
// not be names.
type TypeApply = json.RawMessage

// TypeApplied reports that the documentation of a type is in the type catalogue.
type TypeApplied struct {
	// Name is the identifier of the typename.
	Name     string           `json:"name"`
	Document typedoc.Document `json:"document"`
	By       string           `json:"by,omitempty"`
}

// TypeRejected lists all problems of the document of a type.
type TypeRejected struct {
	Name     string       `json:"name"`
	Problems problem.List `json:"problems"`
	By       string       `json:"by,omitempty"`
}

// A TypeEntry is the value of TypeKey in BucketTypes.
type TypeEntry struct {
	typedoc.Document
	// Seq is the place in EVENTS of the type.apply.
	Seq uint64 `json:"seq"`
}

// TypeKey is the key of a type in BucketTypes. Identifiers may have dots where keys may not.
func TypeKey(name string) string { return strings.ReplaceAll(name, ".", "=") }

// A TypeLine is one type of the answer to AskCatalogTypes without a name. With a name, which may
// have arguments, the answer is the type's typedoc.Document.
type TypeLine struct {
	Name string `json:"name"`
	// Typename is the name with its type parameters.
	Typename string `json:"typename"`
	Summary  string `json:"summary"`
	Builtin  bool   `json:"builtin,omitempty"`
}

// CatalogCompatible is the answer to AskCatalogCompatible, whose request is a flow.Query: the compatible ports,
// or the problems of the request.
type CatalogCompatible struct {
	*flow.Compatibility
	Problems problem.List `json:"problems,omitempty"`
}

// MaxChecked is the maximum number of documents in a CatalogCheck, and of problems in its answer.
const MaxChecked = 1000

// CatalogCheck is the question AskCatalogCheck: documents in the order in which they would be published. A document is
// checked as if those before it that have no problems were published.
type CatalogCheck struct {
	Documents []CheckDocument `json:"documents"`
}

// A CheckDocument is a document of a CatalogCheck: a type or a progdef.
type CheckDocument struct {
	Type    json.RawMessage `json:"type,omitempty"`
	Progdef json.RawMessage `json:"progdef,omitempty"`
}

// CatalogChecked is the answer to AskCatalogCheck: one result for each document, or the problems of the question.
type CatalogChecked struct {
	Documents []CheckedDocument `json:"documents,omitempty"`
	Problems  problem.List      `json:"problems,omitempty"`
}

// A CheckedDocument is the result for a document of a CatalogCheck.
type CheckedDocument struct {
	// Name is the document's, as far as it can be read.
	Name string `json:"name"`
	// Revision is the one that a progdef would have.
	Revision string `json:"revision,omitempty"`
	// Document is the document of a progdef with a flow, with the ports that follow from it.
	Document *progdef.Document `json:"document,omitempty"`
	Problems problem.List      `json:"problems,omitempty"`
	// Omitted counts the problems that are left out because the answer has MaxChecked of them.
	Omitted int `json:"omitted,omitempty"`
}

package flowtest

import (
	"encoding/json"
	"errors"
	"regexp"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

// A Document is a case's test.yaml; schemas/test.json describes each field. Its zero value expects
// the flow to complete.
type Document struct {
	Description string                `json:"description"`
	Flow        string                `json:"flow"`
	Deadline    document.Duration     `json:"deadline"`
	Outputs     map[string]OutputRule `json:"outputs"`
	Panic       *PanicRule            `json:"panic"`
	Rejected    []ProblemRule         `json:"rejected"`

	file docfile.Document
}

// An OutputRule says how an output is compared.
type OutputRule struct {
	Unordered bool `json:"unordered"`
	Ignored   bool `json:"ignored"`
}

// A PanicRule is what the first cause of a panic is like; what is not said is not compared.
type PanicRule struct {
	Kind    contract.Kind `json:"kind"`
	Node    *string       `json:"node"`
	Message pattern       `json:"message"`
	Port    *string       `json:"port"`
	Record  *int64        `json:"record"`
}

// A ProblemRule is one problem for which a flow is rejected.
type ProblemRule struct {
	Code    problem.Code `json:"code"`
	Pointer *string      `json:"pointer"`
}

// A pattern is a regular expression; without one, everything matches.
type pattern struct{ *regexp.Regexp }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *pattern) UnmarshalText(text []byte) (err error) {
	p.Regexp, err = regexp.Compile(string(text))
	return err
}

func (p pattern) matches(s string) bool { return p.Regexp == nil || p.MatchString(s) }

// readDocument reads a test document. What is wrong with it is a problem.List.
func readDocument(path string) (Document, error) {
	file, err := docfile.ReadFile(path)
	if err != nil {
		return Document{}, err
	}
	d, err := parseDocument(file.JSON)
	d.file = file
	var problems problem.List
	if errors.As(err, &problems) {
		err = file.Locate(problems)
	}
	return d, err
}

func parseDocument(raw []byte) (d Document, err error) {
	if _, problems := document.Check("test", raw, document.DefaultLimits()); len(problems) > 0 {
		return d, problems
	}
	if err := json.Unmarshal(raw, &d); err != nil { // only a pattern gets past the schema
		return d, problem.List{{
			Code: problem.BadValue, Pointer: "/panic/message", Message: err.Error(),
			Hint: "write a regular expression as RE2 knows it: https://golang.org/s/re2syntax",
		}}
	}
	return d, d.contradictions().Err()
}

// contradictions are what the schema cannot refuse in so many words.
func (d Document) contradictions() problem.List {
	var report document.Report
	if d.Panic != nil && d.Rejected != nil {
		report.Add(problem.SchemaMismatch, `a flow cannot both panic and be rejected`,
			`keep "panic" or "rejected"`, "rejected")
	}
	for name, rule := range d.Outputs {
		if rule.Ignored && rule.Unordered {
			report.Add(problem.SchemaMismatch, "an output that is ignored has no order",
				`keep "ignored" or "unordered"`, "outputs", name)
		}
	}
	if d.Rejected != nil && d.Outputs != nil {
		report.Add(problem.SchemaMismatch, "a flow that is rejected has no outputs", "", "outputs")
	}
	return report.List()
}

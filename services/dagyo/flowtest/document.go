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

// A Document is the test.yaml of a test case; schemas/test.json describes its fields. The zero value
// expects the flow to complete.
type Document struct {
	Description string                `json:"description"`
	Flow        string                `json:"flow"`
	Deadline    document.Duration     `json:"deadline"`
	Outputs     map[string]OutputRule `json:"outputs"`
	Panic       *PanicRule            `json:"panic"`
	Rejected    []ProblemRule         `json:"rejected"`

	file docfile.Document
}

// An OutputRule is how to compare an output.
type OutputRule struct {
	Unordered bool `json:"unordered"`
	Ignored   bool `json:"ignored"`
}

// A PanicRule is the expected first cause of a panic; empty fields are not compared.
type PanicRule struct {
	Kind    contract.Kind `json:"kind"`
	Node    *string       `json:"node"`
	Message pattern       `json:"message"`
	Port    *string       `json:"port"`
	Record  *int64        `json:"record"`
}

// A ProblemRule is one expected problem of a rejected flow.
type ProblemRule struct {
	Code    problem.Code `json:"code"`
	Pointer *string      `json:"pointer"`
}

// A pattern is a regular expression; the zero value matches everything.
type pattern struct{ *regexp.Regexp }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *pattern) UnmarshalText(text []byte) (err error) {
	p.Regexp, err = regexp.Compile(string(text))
	return err
}

func (p pattern) matches(s string) bool { return p.Regexp == nil || p.MatchString(s) }

// readDocument reads a test document. If it is invalid, the error is a problem.List.
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
	if err := json.Unmarshal(raw, &d); err != nil { // only an invalid pattern passes the schema
		return d, problem.List{{
			Code: problem.BadValue, Pointer: "/panic/message", Message: err.Error(),
			Hint: "write a regular expression in RE2 syntax: https://golang.org/s/re2syntax",
		}}
	}
	return d, d.contradictions().Err()
}

// contradictions reports contradictions that the schema cannot report clearly.
func (d Document) contradictions() problem.List {
	var report document.Report
	if d.Panic != nil && d.Rejected != nil {
		report.Add(problem.SchemaMismatch, `a flow cannot both panic and be rejected`,
			`keep "panic" or "rejected"`, "rejected")
	}
	for name, rule := range d.Outputs {
		if rule.Ignored && rule.Unordered {
			report.Add(problem.SchemaMismatch, "an ignored output has no order",
				`keep "ignored" or "unordered"`, "outputs", name)
		}
	}
	if d.Rejected != nil && d.Outputs != nil {
		report.Add(problem.SchemaMismatch, "a rejected flow has no outputs", "", "outputs")
	}
	return report.List()
}

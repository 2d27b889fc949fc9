package webhook

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/egress"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Document is a checked webhook.
type Document struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// Events are types of events that end a flow.
	Events []string `json:"events,omitempty"`
	// Progdefs and Users select flows: by a progdef of one of their jobs, and by who has submitted them. Empty lists select
	// all.
	Progdefs []string `json:"progdefs,omitempty"`
	Users    []string `json:"users,omitempty"`
}

// DefaultEvents are the types of events of a webhook that lists none: the verdicts.
func DefaultEvents() []string { return []string{"flow.completed", "flow.panic", "flow.cancelled"} }

// Check reads the document of a webhook. It returns either the document, with its defaults, or all of its problems at once.
func Check(raw []byte, limits document.Limits) (Document, problem.List) {
	var report document.Report
	var doc Document
	raw = document.TrimBOM(raw)
	tree, ok := document.CheckInto(&report, "webhook", raw, limits).(map[string]any)
	if !ok {
		return doc, report.List()
	}
	if text, _ := tree["url"].(string); text != "" {
		if why, hint := badURL(text); why != "" {
			report.Add(problem.BadURL, why, hint, "url")
		}
	}
	if report.List() == nil {
		if err := json.Unmarshal(raw, &doc); err != nil {
			report.Add(problem.InternalFailure, "cannot be read: "+err.Error(), "")
		}
		if doc.Events == nil {
			doc.Events = DefaultEvents()
		}
	}
	return doc, report.List()
}

// badURL returns why nothing can be sent to a URL, and a hint. It quotes no part that may be a secret.
func badURL(text string) (why, hint string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return "it is not a URL", "example: https://hooks.example.com/dagyo"
	case u.Scheme != "https" && u.Scheme != "http":
		return "the URL begins with neither https:// nor http://", "example: https://hooks.example.com/dagyo"
	case u.User != nil:
		return "the URL has a user name or a password, which everybody in the tenant could read",
			"omit them: the signature of each delivery proves where it comes from"
	case u.Hostname() == "":
		return "the URL has no host", "example: https://hooks.example.com/dagyo"
	case u.Fragment != "":
		return "the URL has a fragment (#), which is never sent", "omit it"
	case egress.EndsInNumber(u.Hostname()) && !egress.Literal(u.Hostname()):
		return "the host of the URL is an address in an unusual notation", "write it as in 192.0.2.7"
	}
	return "", ""
}

// Masked returns a URL for logs and lists: without its query, which may contain a secret.
func Masked(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "…"
	}
	u.User = nil
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	return strings.ReplaceAll(u.String(), "?"+url.QueryEscape("…"), "?…")
}

// Selects reports whether the webhook wants events of a flow, by who has submitted it and the progdefs of its jobs.
func (d Document) Selects(owner string, progdefs []string) bool {
	if len(d.Users) > 0 && !slices.Contains(d.Users, owner) {
		return false
	}
	return len(d.Progdefs) == 0 || slices.ContainsFunc(progdefs, func(p string) bool { return slices.Contains(d.Progdefs, p) })
}

// SelectsAll reports whether the webhook wants events of all flows.
func (d Document) SelectsAll() bool { return len(d.Users) == 0 && len(d.Progdefs) == 0 }

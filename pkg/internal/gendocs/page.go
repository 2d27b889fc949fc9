package main

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/schemas"
)

// files holds the introduction of the page.
//
//go:embed intro.md
var files embed.FS

// A page grows section by section.
type page struct {
	bytes.Buffer
	// parts are the shared schemas that sections refer to.
	parts map[string]bool
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// eventsPage returns docs/events.md.
func eventsPage() ([]byte, error) {
	intro, err := files.ReadFile("intro.md")
	if err != nil {
		return nil, err
	}
	p := &page{parts: map[string]bool{}}
	p.Write(intro)
	p.overview()
	for _, entry := range contract.Table {
		if err := p.event(entry); err != nil {
			return nil, err
		}
	}
	p.questions()
	if err := p.shared(); err != nil {
		return nil, err
	}
	return p.Bytes(), nil
}

func (p *page) overview() {
	p.printf("| event | NATS subject | published by | |\n|---|---|---|---|\n")
	for _, e := range contract.Table {
		p.printf("| [%s](#%s) | `%s` | %s | %s |\n", e.Type, anchor(string(e.Type)),
			address(e, "<", ">"), strings.Join(e.Publishers, ", "), e.Doc)
	}
}

// questions lists the questions that services answer.
func (p *page) questions() {
	p.printf("\n## Questions\n\nA question is a NATS request. An answer with the header `Nats-Service-Error-Code` is an error; " +
		"`Nats-Service-Error` describes it. [clients.md](clients.md) has an example, [limits.md](limits.md#questions) the limits.\n\n")
	p.printf("| subject | answered by | body of the request | answer | |\n|---|---|---|---|---|\n")
	for _, q := range contract.Questions {
		p.printf("| `%s` | %s | %s | %s | %s |\n", q.Subject, q.By, p.asked(q), p.answered(q), q.Doc)
	}
}

func (p *page) asked(q contract.Question) string {
	out := q.Text
	if q.Asked != "" {
		out = schemaLink(q.Asked)
	}
	switch {
	case out == "":
		return "none"
	case q.Optional:
		return out + ", or none"
	}
	return out
}

func (p *page) answered(q contract.Question) string {
	var all []string
	for _, a := range q.Answers {
		switch {
		case a.Event != "":
			all = append(all, fmt.Sprintf("the event [%s](#%s)", a.Event, anchor(string(a.Event))))
		case a.List:
			all = append(all, "list of "+schemaLink(a.Schema))
		default:
			all = append(all, schemaLink(a.Schema))
		}
	}
	return strings.Join(all, ", or ")
}

func schemaLink(name string) string { return fmt.Sprintf("[%s.json](../schemas/%s.json)", name, name) }

// anchor returns the anchor that Markdown viewers give to a heading.
func anchor(heading string) string { return strings.ReplaceAll(heading, ".", "") }

func (p *page) event(entry contract.Entry) error {
	name := string(entry.Type)
	s, err := load(name)
	if err != nil {
		return err
	}
	example, err := fs.ReadFile(schemas.Files, "examples/"+name+".json")
	if err != nil {
		return err
	}
	p.printf("\n## %s\n\n%s\n\n", name, entry.Doc)
	p.printf("Published by %s on %s. Schema: [%s.json](../schemas/%s.json).\n\n",
		strings.Join(entry.Publishers, ", "), strings.Join(addresses(entry), " or "), name, name)
	if entry.MayRefer() {
		p.printf("Large data is sent [by reference](clients.md#large-events).\n\n")
	}
	if document, _ := target(s.Ref); document != "" {
		p.printf("The data is a document: [%s.json](../schemas/%s.json) describes each field.\n",
			document, document)
	} else {
		p.table(s)
	}
	p.printf("\n```json\n%s```\n", example)
	return nil
}

// addresses returns the subjects of an event, those of named senders first.
func addresses(entry contract.Entry) (out []string) {
	plain := address(entry, "<", ">")
	for _, name := range []string{"user", "executor"} {
		if slices.Contains(entry.Publishers, name) {
			out = append(out, "`"+named(entry, "<"+name+">").On(plain)+"`")
		}
	}
	if operator := (contract.Sender{Name: "<user>", Operator: true}); entry.From(operator) {
		out = append(out, "`"+operator.On(plain)+"`")
	}
	return append(out, "`"+plain+"`")
}

// named returns who publishes an event under a name.
func named(entry contract.Entry, name string) contract.Sender {
	s := contract.Sender{Name: name}
	if entry.Type == contract.TypeJobStarted {
		s.Mailbox = "<progdef>-<revision>"
	}
	return s
}

func (p *page) table(s schema) {
	p.printf("| field | type | | |\n|---|---|---|---|\n")
	p.rows("", s)
}

func (p *page) rows(prefix string, s schema) {
	for _, f := range s.Properties {
		optional := "optional"
		if slices.Contains(s.Required, f.name) {
			optional = ""
		}
		p.printf("| `%s` | %s | %s | %s |\n",
			prefix+f.name, p.typeOf(f.schema), optional, cell(f.schema.Description))
		if inner, step := f.schema.inline(); len(inner.Properties) > 0 {
			p.rows(prefix+f.name+step+".", inner)
		}
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// typeOf describes the type of a field, with links to the shared parts.
func (p *page) typeOf(s schema) string {
	values := s.values()
	switch {
	case s.Ref != "":
		return p.link(s.Ref)
	case s.Items != nil:
		return "list of " + p.typeOf(*s.Items)
	case values != nil:
		return p.typeOf(*values) + " by name"
	case len(s.Enum) > 0:
		return "`" + strings.Join(s.Enum, "`, `") + "`"
	default:
		return s.Type
	}
}

func (p *page) link(ref string) string {
	name, whole := target(ref)
	if !whole {
		return fmt.Sprintf("[part of %s.json](../schemas/%s.json)", name, name)
	}
	p.parts[name] = true
	return fmt.Sprintf("[%s](#%s)", name, anchor(name))
}

// shared appends the parts that several events have in common, and the parts that these refer to.
func (p *page) shared() error {
	p.printf("\n## Shared parts\n")
	done := map[string]bool{}
	for len(done) < len(p.parts) {
		for _, name := range slices.Sorted(maps.Keys(p.parts)) {
			if done[name] {
				continue
			}
			done[name] = true
			if err := p.part(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *page) part(name string) error {
	s, err := load(name)
	if err != nil {
		return err
	}
	p.printf("\n### %s\n\n%s\n", name, s.Description)
	switch {
	case len(s.Properties) > 0:
		p.printf("\n")
		p.table(s)
	case len(s.Enum) > 0:
		p.printf("\nOne of %s.\n", p.typeOf(s))
	case s.Pattern != "":
		p.printf("\nText that matches `%s`.\n", s.Pattern)
	}
	return nil
}

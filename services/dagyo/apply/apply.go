// Package apply compares the documents in a folder with the catalogue and the webhooks of a server, and finds the steps
// that make them equal. It changes nothing itself.
package apply

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/typedoc"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// A Kind is a kind of documents.
type Kind string

// The kinds, in the order in which they are applied.
const (
	Type    Kind = "type"
	Progdef Kind = "progdef"
	Webhook Kind = "webhook"
)

// Kinds are all kinds, in the order in which they are applied.
func Kinds() []Kind { return []Kind{Type, Progdef, Webhook} }

// Folder is the name of the folder with the documents of a kind.
func (k Kind) Folder() string { return string(k) + "s" }

// An Action is what a step does.
type Action string

// The actions.
const (
	Create Action = "new"
	Update Action = "changed"
	Keep   Action = "unchanged"
	Remove Action = "removed"
)

// A Step brings one document to its state. Before and After are the documents as they may be shown, nil where there is
// none.
type Step struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
	File   string `json:"file,omitempty"`
	Action Action `json:"action"`
	// Revision is the one that the progdef will have.
	Revision string `json:"revision,omitempty"`
	// Changed lists the fields that differ, such as scaling.maxExecutors.
	Changed []string `json:"changed,omitempty"`

	Before   any      `json:"-"`
	After    any      `json:"-"`
	Document Document `json:"-"`
}

// Current is what the server has.
type Current struct {
	// Types are the documents of the types that are also in the files.
	Types    map[string]typedoc.Document
	Progdefs map[string]contract.Published
	Webhooks map[string]webhook.Document
}

// A Prune says what may be removed: what is not in the files, of the kinds that the files have a folder for.
type Prune struct {
	Kinds map[Kind]bool
	// Name reports whether what has this name may be removed.
	Name func(string) bool
	// Ours reports whether a progdef is not one that the server itself keeps in the catalogue.
	Ours func(contract.Published) bool
}

// Plan returns the steps for documents without problems, in their order, followed by what is to be removed. Checked are the
// results of the server for progdefs, by name. Types cannot be removed.
func Plan(docs []Document, checked map[string]contract.CheckedDocument, now Current, prune Prune) (steps []Step) {
	for _, d := range docs {
		steps = append(steps, step(d, checked[d.Name], now))
	}
	return append(steps, removals(docs, now, prune)...)
}

func step(d Document, checked contract.CheckedDocument, now Current) Step {
	s := Step{Kind: d.Kind, Name: d.Name, File: d.Title(), Document: d}
	known, same := false, true
	switch d.Kind {
	case Type:
		doc, _ := typedoc.Check(d.JSON, document.DefaultLimits())
		var before typedoc.Document
		if before, known = now.Types[d.Name]; known {
			s.Before = before
		}
		s.After = doc
	case Progdef:
		doc, _ := progdef.Check(d.JSON, document.DefaultLimits())
		var before contract.Published
		if before, known = now.Progdefs[d.Name]; known {
			s.Before, same = before.Document, before.Revision == checked.Revision
		}
		if checked.Document != nil {
			doc = *checked.Document
		}
		s.After, s.Revision = doc, checked.Revision
	case Webhook:
		doc, _ := webhook.Check(d.JSON, document.DefaultLimits())
		var before webhook.Document
		if before, known = now.Webhooks[d.Name]; known {
			s.Before = before
		}
		s.After = doc
	}
	switch s.Changed = Differences(s.Before, s.After); {
	case !known:
		s.Action, s.Changed = Create, nil
	case len(s.Changed) == 0 && same:
		s.Action = Keep
	default:
		s.Action = Update
	}
	s.Before, s.After = masked(s.Before), masked(s.After)
	return s
}

// masked returns a document to show: the query of a webhook's URL may be a secret.
func masked(document any) any {
	if w, is := document.(webhook.Document); is {
		w.URL = webhook.Masked(w.URL)
		return w
	}
	return document
}

// removals are the steps for what is not in the files: webhooks, and then progdefs, each before those that its flow uses.
func removals(docs []Document, now Current, prune Prune) (steps []Step) {
	wanted := map[Kind]map[string]bool{Progdef: {}, Webhook: {}}
	for _, d := range docs {
		if names := wanted[d.Kind]; names != nil {
			names[d.Name] = true
		}
	}
	unwanted := func(kind Kind, name string) bool {
		return prune.Kinds[kind] && !wanted[kind][name] && prune.Name(name)
	}
	for _, name := range slices.Sorted(maps.Keys(now.Webhooks)) {
		if unwanted(Webhook, name) {
			steps = append(steps, Step{Kind: Webhook, Name: name, Action: Remove, Before: masked(now.Webhooks[name])})
		}
	}
	var progdefs []contract.Published
	for _, name := range slices.Sorted(maps.Keys(now.Progdefs)) {
		if p := now.Progdefs[name]; unwanted(Progdef, name) && prune.Ours(p) {
			progdefs = append(progdefs, p)
		}
	}
	progdefs = progdef.Ordered(progdefs, func(p contract.Published) []byte {
		raw, _ := json.Marshal(p.Document) // it was decoded from JSON
		return raw
	})
	for _, p := range slices.Backward(progdefs) {
		steps = append(steps, Step{Kind: Progdef, Name: p.Document.Name, Action: Remove, Before: p.Document})
	}
	return steps
}

// Differences lists the fields in which two documents differ, sorted.
func Differences(before, after any) []string { return differences("", tree(before), tree(after)) }

// tree returns a document as a JSON tree.
func tree(document any) (out any) {
	text, err := json.Marshal(document)
	if err == nil {
		_ = json.Unmarshal(text, &out)
	}
	return out
}

func differences(at string, before, after any) (out []string) {
	b, both := before.(map[string]any)
	a, objects := after.(map[string]any)
	if !both || !objects {
		if reflect.DeepEqual(before, after) {
			return nil
		}
		return []string{at}
	}
	names := maps.Clone(b)
	maps.Copy(names, a)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out = append(out, differences(strings.TrimPrefix(at+"."+name, "."), b[name], a[name])...)
	}
	return out
}

package validator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/trace"
)

// State is the catalogues of progdefs and types, the live flows, and the commands without an answer.
type State struct {
	limits  Limits
	policy  *policy.Policy
	catalog flow.Catalog
	// changed are the last changes of progdefs, including removals. stored are the places in EVENTS of the last changes
	// that the bucket is known to contain.
	changed map[string]change
	stored  map[string]uint64
	types   types
	// lent is true if catalog, types.docs and types.meanings may be in use without the lock on the state, which questions hold
	// only to read.
	lent atomic.Bool
	// flows are the validated flows that are not known to be in history.
	flows map[string]taken
	// pending are the commands without an answer, in order, by key; keys are their keys, by place.
	pending map[string][]command
	keys    map[uint64]string
	// submissions meters the submitted flows.
	submissions meter
	// changes are the places of the commands about progdefs without an answer, held those of the commands that wait for
	// the first of them, in order.
	changes, held []uint64
	// kept counts the bytes of submitted documents in pending.
	kept int
}

// A change of the catalogue: its place in EVENTS, who asked for it, and when.
type change struct {
	seq uint64
	by  string
	at  time.Time
}

// A taken id is the id of a validated flow.
type taken struct {
	// Document is the digest of its document, or "" if the previous version has judged it.
	Document string `json:"document,omitempty"`
	// Owner is the user who submitted it, "" if nothing proves it.
	Owner string `json:"owner,omitempty"`
	// Cleaned is the place in EVENTS of its last event, or 0 before that.
	Cleaned uint64 `json:"cleaned,omitempty"`
}

// by reports whether a submission of the document with the digest by the user has taken the id.
func (t taken) by(digest, user string) bool {
	return t.Document == "" || t.Document == digest && t.Owner == user
}

// A command is an event sent by a user.
type command struct {
	Seq     uint64        `json:"seq"`
	Type    contract.Type `json:"type"`
	Subject string        `json:"subject"`
	// By is who published it, Exceeded the limits on submissions that it exceeds.
	By       string        `json:"by,omitempty"`
	Exceeded problem.List  `json:"exceeded,omitempty"`
	Trace    trace.Context `json:"traceparent,omitzero"`
	// Raw is the document. It is nil if the document must be read again: if it is large, sent by reference, or
	// one of many.
	Raw      []byte       `json:"raw,omitempty"`
	Problems problem.List `json:"problems,omitempty"`

	nests bool // it publishes a progdef with a flow
}

const (
	// factStored reports the place in EVENTS, in With, up to which history includes ended flows.
	factStored contract.Type = "fact.stored"
	// factPolicy reports the policy, in With.
	factPolicy contract.Type = "fact.policy"
	// actStore writes a change of the catalogue, in With, to the bucket.
	actStore contract.Type = "act.store"
)

// keptLimit limits the documents of submitted flows in memory, in bytes. Further documents are read again.
const keptLimit = 16 << 20

// key is the key under which the command's answers are decided. Names contain no spaces.
func (c command) key() string {
	area, _, _ := strings.Cut(string(c.Type), ".")
	return area + " " + c.Subject
}

func (c command) event() contract.Event {
	return contract.Event{Type: c.Type, Subject: c.Subject, By: c.By, Seq: c.Seq, Raw: c.Raw, Problems: c.Problems}
}

// Limits limit documents and catalogues.
type Limits struct {
	Flow flow.Limits
	// Progdef limits the documents of progdefs and types.
	Progdef document.Limits
	// Progdefs and Types limit the catalogues.
	Progdefs int
	Types    int
	// Submissions limit submitted flows.
	Submissions Rates
}

// DefaultLimits returns the documented defaults.
func DefaultLimits() Limits {
	return Limits{
		Flow: flow.DefaultLimits(), Progdef: document.DefaultLimits(), Progdefs: 10_000, Types: 10_000,
		Submissions: Rates{Burst: 10 * time.Second},
	}
}

// NewState returns the initial state for a stored catalogue.
func NewState(l Limits, stored map[string]contract.CatalogEntry) *State {
	s := &State{
		limits: l, catalog: flow.Catalog{}, changed: make(map[string]change), stored: make(map[string]uint64),
		types: newTypes(), flows: make(map[string]taken),
		pending: make(map[string][]command), keys: make(map[uint64]string),
	}
	for name, e := range stored {
		s.stored[name] = e.Seq
		s.put(name, e)
	}
	return s
}

// WithPolicy returns the state with a policy, which is not part of the folded state: see factPolicy.
func (s *State) WithPolicy(p *policy.Policy) *State {
	s.policy = p
	return s
}

// Evolve folds an event or fact.
func Evolve(s *State, e contract.Event) []string {
	switch e.Type {
	case contract.TypeFlowSubmit:
		return s.await(e)
	case contract.TypeTypeApply:
		s.applyType(e)
		return s.await(e)
	case contract.TypeProgdefApply, contract.TypeProgdefRemove:
		return s.await(e)
	case contract.TypeFlowValidated:
		var t taken
		if d, ok := e.Data.(*contract.FlowValidated); ok {
			t.Document, t.Owner = d.Document, d.Owner
		}
		s.flows[e.Subject] = t
		return s.drop(answeredKey(e), e.Cause)
	case contract.TypeFlowCleaned:
		if t, known := s.flows[e.Subject]; known {
			t.Cleaned = e.Seq
			s.flows[e.Subject] = t
		}
	case factStored:
		maps.DeleteFunc(s.flows, func(_ string, t taken) bool { return t.Cleaned > 0 && t.Cleaned <= e.With.(uint64) })
	case contract.TypeFlowRejected:
		if !e.EndsFlow() {
			return s.drop(answeredKey(e), e.Cause)
		}
	case factPolicy:
		s.policy = e.With.(*policy.Policy)
	case contract.TypeProgdefApplied, contract.TypeProgdefRemoved:
		return append(s.drop(answeredKey(e), e.Cause), s.change(e)...)
	case actStore:
		s.stored[e.Subject] = max(s.stored[e.Subject], e.With.(contract.CatalogEntry).Seq)
	case contract.TypeProgdefRejected, contract.TypeTypeApplied, contract.TypeTypeRejected:
		return s.drop(answeredKey(e), e.Cause)
	case contract.TypeDeadLetter:
		if d, ok := e.Data.(*contract.DeadLetter); ok {
			return s.drop(s.keys[d.Sequence], d.Sequence)
		}
	}
	return nil
}

// change folds a change of the catalogue. The answer counts, not the command: only the leader judges a command, by its
// configuration and policy, and every replica takes over the result.
func (s *State) change(e contract.Event) []string {
	entry := contract.CatalogEntry{Seq: e.Seq, Removed: e.Type == contract.TypeProgdefRemoved}
	entry.At = e.Time
	switch d := e.Data.(type) {
	case *contract.ProgdefApplied:
		entry.Pinned, entry.By = progdef.Pinned{Revision: d.Revision, Document: d.Document}, d.By
	case *contract.ProgdefRemoved:
		entry.By = d.By
	}
	s.put(e.Subject, entry)
	return []string{storeKey + e.Subject}
}

// put takes over an entry of the catalogue, unless a later one is known.
func (s *State) put(name string, e contract.CatalogEntry) {
	if e.Seq <= s.changed[name].seq {
		return
	}
	s.reclaim()
	s.changed[name] = change{e.Seq, e.By, e.At}
	if e.Removed {
		delete(s.catalog, name)
	} else {
		s.catalog[name] = e.Pinned
	}
}

// entry returns the catalogue's entry of a name.
func (s *State) entry(name string) contract.CatalogEntry {
	_, have := s.catalog[name]
	return contract.CatalogEntry{Published: s.published(name), Seq: s.changed[name].seq, Removed: !have}
}

func (s *State) published(name string) contract.Published {
	c := s.changed[name]
	return contract.Published{Pinned: s.catalog[name], By: c.by, At: c.at}
}

// applyType takes a type.apply to effect: it counts from its place in EVENTS on.
func (s *State) applyType(e contract.Event) {
	if doc, problems := s.checkType(e); len(problems) == 0 {
		s.reclaim()
		s.types.put(doc, e.Seq)
	}
}

// await records that a command needs an answer.
func (s *State) await(e contract.Event) []string {
	c := command{
		Seq: e.Seq, Type: e.Type, Subject: e.Subject, By: e.By, Trace: e.Trace, Raw: e.Raw, Problems: e.Problems,
	}
	if e.Type == contract.TypeFlowSubmit {
		if c.Trace.IsZero() { // the client has begun none
			c.Trace = trace.Derive(e.Subject, fmt.Sprint(e.Seq, e.Time.UnixNano()))
		}
		c.Exceeded = s.submissions.take(s.limits.Submissions, e.By, e.Time)
		if len(c.Raw) == 0 || s.kept+len(c.Raw) > keptLimit {
			c.Raw = nil
		}
		s.kept += len(c.Raw)
	}
	s.add(c)
	return []string{c.key()}
}

// add appends a command without an answer.
func (s *State) add(c command) {
	key := c.key()
	c.nests = c.Type == contract.TypeProgdefApply && progdef.HasFlow(c.Raw)
	s.pending[key] = append(s.pending[key], c)
	s.keys[c.Seq] = key
	if c.changesProgdefs() {
		s.changes = append(s.changes, c.Seq)
	}
	if s.early(c) {
		s.held = append(s.held, c.Seq)
	}
}

func (c command) changesProgdefs() bool {
	return c.Type == contract.TypeProgdefApply || c.Type == contract.TypeProgdefRemove
}

// early reports whether a command must wait for answers about progdefs: a flow submitted directly after a progdef uses
// it, also if the flow is itself a progdef.
func (s *State) early(c command) bool {
	return (c.Type == contract.TypeFlowSubmit || c.nests) && len(s.changes) > 0 && s.changes[0] < c.Seq
}

// release returns the keys of the commands that no longer wait for answers about progdefs.
func (s *State) release() (keys []string) {
	for len(s.held) > 0 && (len(s.changes) == 0 || s.held[0] <= s.changes[0]) {
		if key, pending := s.keys[s.held[0]]; pending {
			keys = append(keys, key)
		}
		s.held = s.held[1:]
	}
	return keys
}

// answeredKey is the key of the commands that an event may answer.
func answeredKey(e contract.Event) string {
	area, _, _ := strings.Cut(string(e.Type), ".")
	return area + " " + e.Subject
}

// drop removes the command at a place of EVENTS, which has been answered. In events of the previous version, which do
// not name the command that they answer, seq is 0, which means the first one.
func (s *State) drop(key string, seq uint64) []string {
	waiting := s.pending[key]
	i, found := slices.BinarySearchFunc(waiting, seq, func(c command, seq uint64) int { return cmp.Compare(c.Seq, seq) })
	switch {
	case len(waiting) == 0:
		return nil
	case seq > 0 && !found:
		return []string{key}
	}
	released := s.forget(waiting[i])
	if i == 0 { // they are usually answered in order
		waiting[0] = command{}
		waiting = waiting[1:]
	} else {
		waiting = slices.Delete(waiting, i, i+1)
	}
	if s.pending[key] = waiting; len(waiting) == 0 {
		delete(s.pending, key)
	}
	return append([]string{key}, released...)
}

// forget forgets an answered command, and returns the keys of the submissions that waited for it.
func (s *State) forget(c command) (released []string) {
	delete(s.keys, c.Seq)
	switch {
	case c.Type == contract.TypeFlowSubmit:
		s.kept -= len(c.Raw)
	case c.changesProgdefs():
		if i, found := slices.BinarySearch(s.changes, c.Seq); found {
			s.changes = slices.Delete(s.changes, i, i+1)
		}
		return s.release()
	}
	return nil
}

// ever reports whether the catalogue has ever contained the progdef.
func (s *State) ever(name string) bool { return s.changed[name].seq > 0 }

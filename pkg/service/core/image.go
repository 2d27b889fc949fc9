package core

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

// An Image is the stored form of a core as of its last folded message. It is encoded in steps, and the core goes on
// folding between them: what is stored about a flow is encoded before the next event about it is folded. So the fold
// never waits for the encoding of more than one step or one flow.
type Image struct {
	// Place is the last folded message, Needs the first one that the state refers to, 0 if there is none.
	Place event.Place
	Needs uint64

	unprocessed []Unprocessed
	rest        any
	order       []string            // the flows
	pending     map[string]struct{} // those that are not encoded yet
	members     map[string][][]byte // the encoded entries of each member
	err         error
}

// envelope is the first line of a stored core; the state follows. The JSON name is kept from earlier versions.
type envelope struct {
	Unprocessed []Unprocessed `json:"aside,omitempty"`
}

// Form is the version of the format in which an Image wraps a state.
const Form = 1

// Capture begins an image of the core as it is now. The image before, if it is not complete, is completed first.
func (c *Core[S]) Capture() *Image {
	c.Encode(math.MaxInt)
	i := c.logic.Snapshot.capture(c.State)
	i.Place, i.Needs, i.unprocessed = c.Last, c.Needs(), slices.Clone(c.unprocessed)
	c.image = i
	return i
}

// Encode encodes more of the core's image, at least that many bytes unless it completes the image. It reports whether
// the image is complete.
func (c *Core[S]) Encode(atLeast int) (complete bool) {
	i := c.image
	if i == nil {
		return true
	}
	for n := 0; n < atLeast && len(i.pending) > 0; i.order = i.order[1:] {
		n += c.logic.Snapshot.encodeFlow(i, c.State, i.order[0])
	}
	if len(i.pending) > 0 {
		return false
	}
	c.image = nil
	return true
}

// beforeChange encodes what an event, fact or act may change.
func (c *Core[S]) beforeChange(e contract.Event) {
	i := c.image
	if i == nil {
		return
	}
	c.logic.Snapshot.encodeFlow(i, c.State, e.Subject)
	if wide(e) {
		c.Encode(math.MaxInt)
	}
}

// wide reports whether an event may change what is stored about any flow: the exit of an executor fails all of its jobs.
// Such events are rare.
func wide(e contract.Event) bool {
	return e.Flow() == "" && !e.IsAct() && e.Type != contract.TypeTick && e.Type != contract.TypeDeadLetter
}

// Bytes returns the encoded form of a complete image, which Core.Decode reads. It does not use the core.
func (i *Image) Bytes() ([]byte, error) {
	head, err := json.Marshal(envelope{i.unprocessed})
	if err != nil {
		return nil, err
	}
	state, err := i.state()
	return slices.Concat(head, []byte("\n"), state), err
}

// state returns the encoded state: the object of the rest, with the members by flow.
func (i *Image) state() ([]byte, error) {
	rest, err := json.Marshal(i.rest)
	if err != nil {
		return nil, err
	}
	var members [][]byte
	for _, name := range slices.Sorted(maps.Keys(i.members)) {
		entries := i.members[name]
		slices.SortFunc(entries, bytes.Compare) // the same state has the same form
		members = append(members, slices.Concat(quoted(name), []byte(":{"), bytes.Join(entries, []byte(",")), []byte("}")))
	}
	if inner := rest[1 : len(rest)-1]; len(inner) > 0 {
		members = append(members, inner)
	}
	return slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}")), i.err
}

func quoted(s string) []byte {
	raw, err := json.Marshal(s)
	if err != nil { // a string always encodes
		panic(err)
	}
	return raw
}

// capture begins an image of a state.
func (x Snapshot[S]) capture(s S) *Image {
	i := &Image{rest: x.Rest(s), members: make(map[string][][]byte)}
	if x.Flows != nil {
		i.order = x.Flows(s)
	}
	i.pending = make(map[string]struct{}, len(i.order))
	for _, flow := range i.order {
		i.pending[flow] = struct{}{}
	}
	return i
}

// encodeFlow encodes what is stored about a flow, unless it is encoded already. It returns how many bytes that are.
func (x Snapshot[S]) encodeFlow(i *Image, s S, flow string) (n int) {
	if _, pending := i.pending[flow]; !pending {
		return 0
	}
	delete(i.pending, flow)
	for name, v := range x.Flow(s, flow) {
		raw, err := json.Marshal(v)
		if err != nil {
			i.err = err
		}
		i.members[name] = append(i.members[name], slices.Concat(quoted(flow), []byte(":"), raw))
		n += len(raw)
	}
	return n
}

// Encode returns the stored form of a state.
func (x Snapshot[S]) Encode(s S) ([]byte, error) {
	i := x.capture(s)
	for _, flow := range i.order {
		x.encodeFlow(i, s, flow)
	}
	return i.state()
}

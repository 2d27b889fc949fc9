package cli

import (
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/client"
)

// A story is the events of a flow from its beginning, as far as they tell when it is over.
type story struct {
	stored, told uint64
	valid        bool
}

func newStory(feed *client.Feed) story { return story{stored: feed.Stored} }

// ends reports whether the event is the flow's last word. A flow that was rejected before it was ever
// valid may have been corrected: then more is stored.
func (s *story) ends(e contract.Event) bool {
	s.told++
	switch e.Type {
	case contract.TypeFlowValidated:
		s.valid = true
	case contract.TypeFlowRejected:
		return s.valid || s.told >= s.stored
	}
	return contract.IsVerdict(e.Type)
}

package planner

import (
	"strconv"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
)

// stored is the last message on each subject of an edge, and on all of them.
type stored map[string][]byte

func (s stored) last(subject string) ([]byte, error) { return s[subject], nil }

// edge has three slots.
func edge() contract.Address { return contract.Address{Subject: "e", Slots: 3} }

// frames are the first frames of an edge.
func frames(n int) [][]byte {
	enc := wire.NewEncoder(64<<10, 128<<10)
	var out [][]byte
	for range n {
		enc.Append([]byte("x"))
		out = append(out, enc.Take(nil))
	}
	return out
}

// after returns the slots after frames were stored and some of them cleared.
func after(n int, cleared ...int) stored {
	s := stored{}
	put := func(number int, m []byte) {
		s["e."+strconv.Itoa(number%3)], s["e.*"] = m, m
	}
	for i, f := range frames(n) {
		put(i+1, f)
	}
	for _, number := range cleared {
		put(number, []byte{})
	}
	return s
}

func TestNoneBehind(t *testing.T) {
	for name, tt := range map[string]struct {
		stored   stored
		consumed uint64
		want     bool
	}{
		"nothing stored":                    {stored{}, 0, true},
		"unread":                            {after(2), 1, false},
		"nothing read":                      {after(3), 0, false},
		"read":                              {after(2), 2, true},
		"read directly beyond it":           {after(2), 5, true},
		"overwritten":                       {after(5), 4, false},
		"overwritten and read":              {after(5), 5, true},
		"unread after the clearing message": {after(5, 3), 3, false},
		"all cleared":                       {after(5, 3, 4, 5), 5, true},
		"read, not all cleared":             {after(5, 3), 5, true},
	} {
		got, err := noneBehind(edge(), tt.consumed, tt.stored.last)
		if got != tt.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	old := contract.Address{Subject: "e"} // a flow's own stream
	if got, _ := noneBehind(old, 1, stored{"e": frames(2)[1]}.last); got {
		t.Error("a frame on the only subject is read")
	}
}

func TestPausesGrow(t *testing.T) {
	l := release{pause: firstReleaseLook}
	now := time.Now()
	var waits []time.Duration
	for range 8 {
		l.wait(now)
		waits = append(waits, l.due.Sub(now))
	}
	if waits[0] != firstReleaseLook || waits[1] != 2*firstReleaseLook || waits[7] != lastReleaseLook {
		t.Errorf("got %v", waits)
	}
}

// Outputs are released by the owner of the flow, or by somebody who is not known.
func TestReleasers(t *testing.T) {
	s := NewState(DefaultLimits(), "0")
	s.runs["hers"] = &run{Owner: "ada", Planned: true, Outputs: true}
	s.runs["nobodys"] = &run{Planned: true, Outputs: true}
	for id, want := range map[releaser]bool{
		{"hers", "ada"}: true, {"hers", "bob"}: false, {"hers", ""}: true, {"nobodys", "bob"}: true, {"unknown", "bob"}: false,
	} {
		if _, known, _ := s.outputs(id); known != want {
			t.Errorf("%+v: %t", id, known)
		}
	}
}

package planner

import (
	"strconv"
	"strings"
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

// What waits is bounded: a flood about unknown flows, or with much in it, takes no room from the releases of others.
func TestReleasesAreBounded(t *testing.T) {
	q := newReleases()
	body := []byte(`{"read": {"a": {"records": 1, "bytes": 2}, "b": {"records": 3, "bytes": 4}}}`)
	for i := range 2 * earlyReleases {
		q.add(releaser{"f" + strconv.Itoa(i), "eve"}, body, false, 0)
	}
	if len(q.of) != earlyReleases || len(q.of[releaser{"f0", "eve"}].read.Read) != 0 {
		t.Errorf("%d releases of unknown flows", len(q.of))
	}
	q.add(releaser{"f", "ada"}, body, true, 2)
	q.add(releaser{"g", "ada"}, body, true, 1)
	q.add(releaser{"f", "ada"}, []byte(`{}`), true, 2)
	if n := len(q.of[releaser{"f", "ada"}].read.Read); n != 2 {
		t.Errorf("the counts of %d outputs are kept", n)
	}
	if n := len(q.of[releaser{"g", "ada"}].read.Read); n != 0 {
		t.Errorf("the counts of %d outputs of a flow with one are kept", n)
	}
	due, none := q.due(time.Now())
	if len(due) != earlyReleases+2 || none {
		t.Errorf("%d due", len(due))
	}
	for id := range due {
		q.remove(id)
	}
	if _, none := q.due(time.Now()); !none || q.early != 0 {
		t.Errorf("%d are left, %d of them early", len(q.of), q.early)
	}
	for i := range 2 * releasesMost {
		q.add(releaser{"f", strconv.Itoa(i)}, nil, true, 0)
	}
	if len(q.of) != releasesMost {
		t.Errorf("%d releases", len(q.of))
	}
}

func TestReadReleaser(t *testing.T) {
	long := strings.Repeat("x", 64)
	for subject, want := range map[string]releaser{
		"release.f": {"f", ""}, "release.f.by.ada": {"f", "ada"}, "release." + long: {}, "release.F": {}, "release.f.by." + long: {}, "release.f.g": {},
	} {
		if id, ok := readReleaser(subject); ok != (want != releaser{}) || ok && id != want {
			t.Errorf("%s is %+v, %t", subject, id, ok)
		}
	}
}

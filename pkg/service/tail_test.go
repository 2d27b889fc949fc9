package service

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
)

func message(seq uint64, t contract.Type, size int) *delivery {
	return &delivery{seq: seq, subject: string(t) + ".f", data: make([]byte, size)}
}

func seqs(batch []*delivery) string {
	var out []uint64
	for _, d := range batch {
		out = append(out, d.seq)
	}
	return fmt.Sprint(out)
}

func TestTailKeepsWhatItsSlowestReaderWants(t *testing.T) {
	tl := newTail()
	tl.add(message(1, contract.TypeFlowPlanned, 10), true) // nobody reads yet
	fast := tl.join([]contract.Type{contract.TypeFlowPlanned}, 2)
	slow := tl.join([]contract.Type{contract.TypeFlowSpawned}, 2)
	tl.add(message(2, contract.TypeFlowPlanned, 10), true)
	tl.add(message(3, contract.TypeJobDone, 10), false)
	tl.add(message(4, contract.TypeFlowSpawned, 10), true)
	tl.add(message(5, contract.TypeFlowPlanned, 10), true)
	if batch, _ := tl.take(fast, 10); seqs(batch) != "[2 5]" {
		t.Errorf("the fast reader took %s", seqs(batch))
	}
	if len(tl.kept) != 3 {
		t.Errorf("%d are kept for the slow reader, want 3", len(tl.kept))
	}
	if batch, _ := tl.take(slow, 10); seqs(batch) != "[4]" {
		t.Errorf("the slow reader took %s", seqs(batch))
	}
	if len(tl.kept) != 0 || tl.size != 0 || tl.begin != 6 {
		t.Errorf("%d of %d octets are kept from %d on, want none", len(tl.kept), tl.size, tl.begin)
	}
}

func TestTailTakesNoMoreThanTheLimit(t *testing.T) {
	tl := newTail()
	p := tl.join([]contract.Type{contract.TypeFlowPlanned}, 1)
	for seq := uint64(1); seq <= 5; seq++ {
		tl.add(message(seq, contract.TypeFlowPlanned, 1), true)
	}
	for _, want := range []string{"[1 2]", "[3 4]", "[5]", "[]"} {
		if batch, _ := tl.take(p, 2); seqs(batch) != want {
			t.Errorf("took %s, want %s", seqs(batch), want)
		}
	}
}

func TestTailIsBounded(t *testing.T) {
	tl := newTail()
	p := tl.join([]contract.Type{contract.TypeFlowPlanned}, 1)
	for seq := uint64(1); seq <= 3*tailLength; seq++ {
		tl.add(message(seq, contract.TypeFlowPlanned, 1), true)
	}
	if batch, begin := tl.take(p, 10); batch != nil || begin != 2*tailLength+1 || len(tl.kept) != tailLength {
		t.Errorf("took %s; %d are kept from %d on", seqs(batch), len(tl.kept), begin)
	}
	tl.add(message(3*tailLength+1, contract.TypeFlowPlanned, tailBytes+1), true)
	if tl.begin != 3*tailLength+2 || tl.size != 0 {
		t.Errorf("%d octets are kept from %d on, want none of what is too large", tl.size, tl.begin)
	}
}

// Whoever joins, leaves and falls behind: a reader misses nothing between its place and the end, but by
// being told that it is behind.
func TestTailMissesNothing(t *testing.T) {
	types := []contract.Type{contract.TypeFlowPlanned, contract.TypeFlowSpawned, contract.TypeJobDone}
	rapid.Check(t, func(t *rapid.T) {
		tl := newTail()
		stored := []contract.Type{""} // by seq
		want := map[*place]uint64{}   // where each reader goes on
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			readers := slices.SortedFunc(maps.Keys(want), func(a, b *place) int { return int(want[a]) - int(want[b]) })
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step == 0:
				from := rapid.Uint64Range(1, uint64(len(stored))).Draw(t, "from")
				p := tl.join(rapid.SliceOfDistinct(rapid.SampledFrom(types), rapid.ID).Draw(t, "types"), from)
				want[p] = from
			case step == 1 && len(readers) > 0:
				p := readers[rapid.IntRange(0, len(readers)-1).Draw(t, "who")]
				tl.leave(p)
				delete(want, p)
			case step < 5 && len(readers) > 0:
				p := readers[rapid.IntRange(0, len(readers)-1).Draw(t, "who")]
				want[p] = takeSome(t, &tl, p, want[p], stored)
			default:
				kind := rapid.SampledFrom(types).Draw(t, "type")
				seq := uint64(len(stored))
				stored = append(stored, kind)
				tl.add(message(seq, kind, 1), true)
			}
		}
	})
}

// takeSome takes from the tail, and returns where the reader goes on.
func takeSome(t *rapid.T, tl *tail, p *place, next uint64, stored []contract.Type) uint64 {
	limit := rapid.IntRange(1, 20).Draw(t, "limit")
	batch, begin := tl.take(p, limit)
	if next < begin && batch == nil && p.next == next {
		tl.move(p, begin) // read from the stream
		return begin
	}
	for _, d := range batch {
		for ; next < d.seq; next++ {
			if p.types[stored[next]] {
				t.Fatalf("%d was left out", next)
			}
		}
		next = d.seq + 1
	}
	for ; len(batch) < limit && next < uint64(len(stored)); next++ {
		if p.types[stored[next]] {
			t.Fatalf("%d was left out at the end", next)
		}
	}
	return max(next, p.next)
}

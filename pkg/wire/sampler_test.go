package wire

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What a sampler gets from any frames of an edge, each once and in order, are records of it in their order; from all
// frames it gets all records that are not too long.
func TestSamplerGetsWholeRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 40).Draw(t, "records")
		e := NewEncoder(100, 164)
		var frames [][]byte
		for _, r := range records {
			for rest, done := r, false; !done; {
				var n int
				if n, done = e.Append(rest); !done || e.Full() {
					frames = append(frames, bytes.Clone(e.Take(nil)))
				}
				rest = rest[n:]
			}
		}
		last, err := e.Finish()
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, last)
		const limit = 250
		short := slices.DeleteFunc(slices.Clone(records), func(r []byte) bool { return len(r) > limit })
		if got := sample(limit, frames); !slices.EqualFunc(got, short, bytes.Equal) {
			t.Fatalf("of all frames: %q, want %q", got, short)
		}
		some := slices.DeleteFunc(frames, func([]byte) bool { return rapid.Bool().Draw(t, "lost") })
		left := records
		for _, got := range sample(limit, some) {
			i := slices.IndexFunc(left, func(r []byte) bool { return bytes.Equal(r, got) })
			if i < 0 {
				t.Fatalf("%q is no record, or not in order", got)
			}
			left = left[i+1:]
		}
	})
}

func sample(limit int, frames [][]byte) (out [][]byte) {
	s := NewSampler(limit)
	for _, f := range frames {
		out = append(out, s.Records(f)...)
	}
	return out
}

// Anybody may publish where an edge is heard.
func FuzzSampler(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x04ab"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := NewSampler(100)
		for range 2 {
			for _, r := range s.Records(frame) {
				if len(r) > 100 {
					t.Fatalf("a record of %d bytes", len(r))
				}
			}
		}
	})
}

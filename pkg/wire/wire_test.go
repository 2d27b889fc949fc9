package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/dagyo/dagyo/pkg/wire"
	"pgregory.net/rapid"
)

// encode packs records into frames, each with its own storage.
func encode(e *wire.Encoder, records [][]byte, takeEarly func() bool) ([][]byte, error) {
	var frames [][]byte
	for _, rest := range records {
		for {
			n, done := e.Append(rest)
			if rest = rest[n:]; done {
				break
			}
			frames = append(frames, e.Take(nil))
		}
		if !e.Empty() && takeEarly() {
			frames = append(frames, e.Take(nil))
		}
	}
	last, err := e.Finish()
	return append(frames, last), err
}

func TestRoundTripProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 700), 0, 60).Draw(t, "records")
		target := rapid.IntRange(0, 600).Draw(t, "target")
		limit := rapid.IntRange(0, 1200).Draw(t, "limit")
		early := rapid.IntRange(1, 4).Draw(t, "early")
		turn := 0
		frames, err := encode(wire.NewEncoder(target, limit), records, func() bool {
			turn++
			return turn%early == 0
		})
		if err != nil {
			t.Fatal(err)
		}
		var given [][]byte
		for _, f := range frames {
			if len(f) > max(limit, max(target, wire.HeaderSize+1)+64) {
				t.Fatalf("a frame of %d bytes", len(f))
			}
			given = append(given, f)
			if rapid.Bool().Draw(t, "again") {
				given = append(given, f)
			}
		}
		got := decode(wire.NewDecoder(0), given)
		if got.err != nil || !got.ended || len(got.records) != len(records) {
			t.Fatalf("ended %v, %d of %d records, %v", got.ended, len(got.records), len(records), got.err)
		}
		for i := range records {
			if !bytes.Equal(got.records[i], records[i]) {
				t.Fatalf("record %d differs", i)
			}
		}
	})
}

// A changed byte leads to an error, a repeat or a gap, but never to another record.
func TestDamageIsDetectedProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 90), 1, 20).Draw(t, "records")
		frames, err := encode(wire.NewEncoder(100, 200), records, func() bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		f := frames[rapid.IntRange(0, len(frames)-1).Draw(t, "frame")]
		i := rapid.IntRange(0, len(f)-1).Draw(t, "octet")
		f[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "change"))
		if got := decode(wire.NewDecoder(0), frames); got.err == nil && got.ended {
			t.Fatalf("the change of byte %d was not detected", i)
		}
	})
}

func TestRecordThatFitsAFrameIsNotSplit(t *testing.T) {
	e := wire.NewEncoder(64<<10, 128<<10)
	e.Append(make([]byte, 60<<10))
	if n, done := e.Append(make([]byte, 100<<10)); n != 0 || done {
		t.Fatalf("took %d bytes, done %v", n, done)
	}
	e.Take(nil)
	if n, done := e.Append(make([]byte, 100<<10)); n != 100<<10 || !done {
		t.Fatalf("took %d bytes, done %v", n, done)
	}
}

func TestEndInsideRecord(t *testing.T) {
	e := wire.NewEncoder(100, 200)
	if _, done := e.Append(make([]byte, 500)); done {
		t.Fatal("500 bytes in a frame of 200")
	}
	if _, err := e.Finish(); !errors.Is(err, wire.ErrOpenRecord) {
		t.Fatal(err)
	}
}

func TestFrameMustBeReadFirst(t *testing.T) {
	e := wire.NewEncoder(100, 200)
	e.Append([]byte("a"))
	first := e.Take(nil)
	d := wire.NewDecoder(0)
	if _, err := d.Frame(first); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Frame(first); reason(err) != wire.ReasonUnread {
		t.Fatal(err)
	}
	if _, ok, err := d.Next(); !ok || err != nil {
		t.Fatal(ok, err)
	}
}

// A gap changes nothing: the missing frame may still arrive.
func TestGapCanBeFilled(t *testing.T) {
	frames, err := encode(wire.NewEncoder(1, 0), [][]byte{{1}, {2}, {3}},
		func() bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	d := wire.NewDecoder(0)
	if _, err := d.Frame(frames[1]); reason(err) != wire.ReasonGap {
		t.Fatal(err)
	}
	if got := decode(d, frames); !got.ended || len(got.records) != 3 {
		t.Fatalf("%+v", got)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	e, d := wire.NewEncoder(4096, 8192), wire.NewDecoder(0)
	record, huge := make([]byte, 100), make([]byte, 20000)
	var spare []byte
	hand := func() {
		spare = e.Take(spare)
		if _, err := d.Frame(spare); err != nil {
			t.Fatal(err)
		}
		for ok := true; ok; {
			_, ok, _ = d.Next()
		}
	}
	round := func() {
		for range 200 {
			if _, done := e.Append(record); !done {
				hand()
				e.Append(record)
			}
		}
		for rest := huge; ; {
			n, done := e.Append(rest)
			if rest = rest[n:]; done {
				break
			}
			hand()
		}
		hand()
	}
	round()
	// Two buffers alternate: one is read while the other one grows.
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations per round", n)
	}
}

func FuzzDecoder(f *testing.F) {
	for _, v := range vectors[frameVector](f, "frames.json") {
		var all []byte
		for _, frame := range v.Frames {
			b := unhex(f, frame)
			all = append(binary.AppendUvarint(all, uint64(len(b))), b...)
		}
		f.Add(all)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 12
		got := decode(wire.NewDecoder(limit), split(in))
		total := 0
		for _, r := range got.records {
			if len(r) > limit {
				t.Fatalf("a record of %d bytes", len(r))
			}
			total += len(r)
		}
		if total > len(in) {
			t.Fatalf("%d bytes of records from %d bytes of input", total, len(in))
		}
		if got.err != nil && reason(got.err) == "" {
			t.Fatalf("error without a reason: %v", got.err)
		}
	})
}

// split cuts fuzz input into frames, each preceded by its length.
func split(in []byte) (frames [][]byte) {
	for len(in) > 0 {
		n, w := binary.Uvarint(in)
		if w <= 0 {
			return frames
		}
		in = in[w:]
		n = min(n, uint64(len(in)))
		frames, in = append(frames, in[:n]), in[n:]
	}
	return frames
}

func FuzzCredit(f *testing.F) {
	for _, v := range vectors[creditVector](f, "credits.json") {
		f.Add(unhex(f, v.Credit))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := wire.ParseCredit(in)
		if err != nil {
			if reason(err) == "" {
				t.Fatalf("error without a reason: %v", err)
			}
			return
		}
		if !bytes.Equal(c.Append(nil), in) {
			t.Fatalf("%x became %x", in, c.Append(nil))
		}
	})
}

func FuzzBeat(f *testing.F) {
	for _, v := range vectors[beatVector](f, "beats.json") {
		f.Add(unhex(f, v.Beat))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d, absolute, err := wire.ParseBeat(in)
		switch {
		case err != nil && reason(err) != wire.ReasonBeat:
			t.Fatalf("error without its reason: %v", err)
		case err == nil && !absolute && !bytes.Equal(wire.AppendBeat(nil, d), in):
			t.Fatalf("%q became %q", in, wire.AppendBeat(nil, d))
		}
	})
}

func BenchmarkEncodeDecode128(b *testing.B) {
	e, d := wire.NewEncoder(64<<10, 128<<10), wire.NewDecoder(0)
	record := make([]byte, 128)
	var spare []byte
	b.SetBytes(128)
	for b.Loop() {
		if _, done := e.Append(record); done {
			continue
		}
		spare = e.Take(spare)
		if _, err := d.Frame(spare); err != nil {
			b.Fatal(err)
		}
		for ok := true; ok; {
			_, ok, _ = d.Next()
		}
	}
}

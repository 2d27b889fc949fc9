package wire_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/wire"
)

// A frameVector is one edge in schemas/wire/frames.json.
type frameVector struct {
	Name      string
	About     string
	Frames    []string
	Records   []string
	Repeats   []int
	Ended     bool
	MaxRecord int
	Error     wire.Reason
}

type creditVector struct {
	Name, About, Credit    string
	Closed                 bool
	Frame, Records, Octets string
	Attach                 string
	Error                  wire.Reason
}

type hintVector struct {
	Name, About, Hint string
	Number            string
}

type beatVector struct {
	Name, About, Beat string
	Ms                string
	Absolute          bool
	Error             wire.Reason
}

func vectors[V any](t testing.TB, name string) []V {
	t.Helper()
	// Not from schemas.Files: package wire depends on no other module.
	b, err := os.ReadFile("../../schemas/wire/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var vs []V
	if err := json.Unmarshal(b, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decoded is the result of decoding some frames.
type decoded struct {
	records [][]byte
	repeats []int
	ended   bool
	err     error
}

func decode(d *wire.Decoder, frames [][]byte) (out decoded) {
	for i, f := range frames {
		fresh, err := d.Frame(f)
		if err != nil {
			out.err = err
			return out
		}
		if !fresh {
			out.repeats = append(out.repeats, i)
			continue
		}
		for {
			record, ok, err := d.Next()
			if err != nil {
				out.err = err
				return out
			}
			if !ok {
				break
			}
			out.records = append(out.records, slices.Clone(record))
		}
	}
	out.ended = d.Ended()
	return out
}

func reason(err error) wire.Reason {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestFrameVectors(t *testing.T) {
	seen := map[wire.Reason]bool{}
	for _, v := range vectors[frameVector](t, "frames.json") {
		t.Run(v.Name, func(t *testing.T) {
			var frames [][]byte
			for _, f := range v.Frames {
				frames = append(frames, unhex(t, f))
			}
			got := decode(wire.NewDecoder(v.MaxRecord), frames)
			if reason(got.err) != v.Error || got.err == nil != (v.Error == "") {
				t.Fatalf("error %v, want %q", got.err, v.Error)
			}
			if got.ended != v.Ended || !slices.Equal(got.repeats, v.Repeats) {
				t.Errorf("ended %v, repeats %v", got.ended, got.repeats)
			}
			var records []string
			for _, r := range got.records {
				records = append(records, hex.EncodeToString(r))
			}
			if !slices.Equal(records, v.Records) {
				t.Errorf("records %q, want %q", records, v.Records)
			}
			seen[v.Error] = true
		})
	}
	for _, r := range []wire.Reason{
		wire.ReasonShort, wire.ReasonVersion, wire.ReasonFlags, wire.ReasonNumber,
		wire.ReasonGap, wire.ReasonAfterEnd, wire.ReasonEmpty, wire.ReasonVarint,
		wire.ReasonLength, wire.ReasonNoProgress, wire.ReasonMore, wire.ReasonCut,
		wire.ReasonTotals, wire.ReasonChecksum, wire.ReasonTooLong,
	} {
		if !seen[r] {
			t.Errorf("no vector for reason %q", r)
		}
	}
}

// The encoder reproduces the bytes of the vectors that it can produce.
func TestEncoderWritesVectors(t *testing.T) {
	for _, v := range vectors[frameVector](t, "frames.json") {
		switch v.Name {
		case "no-records", "two-records", "empty-records", "varint-two", "varint-three":
		default:
			continue
		}
		e := wire.NewEncoder(1<<16, 1<<17)
		for _, r := range v.Records {
			if _, done := e.Append(unhex(t, r)); !done {
				t.Fatalf("%s: a frame is full too early", v.Name)
			}
		}
		frame, err := e.Finish()
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(frame); got != v.Frames[0] {
			t.Errorf("%s:\n got %s\nwant %s", v.Name, got, v.Frames[0])
		}
	}
}

func TestCreditVectors(t *testing.T) {
	for _, v := range vectors[creditVector](t, "credits.json") {
		t.Run(v.Name, func(t *testing.T) {
			b := unhex(t, v.Credit)
			got, err := wire.ParseCredit(b)
			if reason(err) != v.Error || err == nil != (v.Error == "") {
				t.Fatalf("error %v, want %q", err, v.Error)
			}
			if err != nil {
				return
			}
			want := wire.Credit{
				Closed: v.Closed, Frame: number(t, v.Frame),
				Records: number(t, v.Records), Octets: number(t, v.Octets),
				Attach: number(t, v.Attach),
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if hex.EncodeToString(got.Append(nil)) != v.Credit {
				t.Errorf("written again: %x", got.Append(nil))
			}
		})
	}
}

func TestHintVectors(t *testing.T) {
	for _, v := range vectors[hintVector](t, "hints.json") {
		t.Run(v.Name, func(t *testing.T) {
			got, ok := wire.ParseHint(unhex(t, v.Hint))
			if ok != (v.Number != "") {
				t.Fatalf("a hint: %t", ok)
			}
			if !ok {
				return
			}
			if got != number(t, v.Number) || hex.EncodeToString(wire.Hint(got)) != v.Hint {
				t.Errorf("got %d, encoded as %x", got, wire.Hint(got))
			}
		})
	}
}

func TestBeatVectors(t *testing.T) {
	for _, v := range vectors[beatVector](t, "beats.json") {
		t.Run(v.Name, func(t *testing.T) {
			b := unhex(t, v.Beat)
			d, absolute, err := wire.ParseBeat(b)
			if reason(err) != v.Error || err == nil != (v.Error == "") {
				t.Fatalf("error %v, want %q", err, v.Error)
			}
			if absolute != v.Absolute {
				t.Fatalf("absolute: %t", absolute)
			}
			if v.Ms == "" {
				return
			}
			if want := time.Duration(number(t, v.Ms)) * time.Millisecond; d != want {
				t.Errorf("good for %v, want %v", d, want)
			}
			if got := wire.AppendBeat(nil, d); string(got) != string(b) {
				t.Errorf("written again: %q", got)
			}
		})
	}
}

func TestBeatsAreWholeMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "+1", 0: "+1", 1: "+1", time.Millisecond + 1: "+2", math.MaxInt64: "+9223372036854",
	} {
		if got := string(wire.AppendBeat(nil, d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func number(t testing.TB, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

type sealedVector struct {
	Name, About, Key, Subject, Sealed string
	Message                           *string
}

func TestSealedVectors(t *testing.T) {
	for _, v := range vectors[sealedVector](t, "sealed.json") {
		t.Run(v.Name, func(t *testing.T) {
			s, err := wire.NewSeal(unhex(t, v.Key))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := s.Open(v.Subject, unhex(t, v.Sealed))
			if ok != (v.Message != nil) || ok && hex.EncodeToString(got) != *v.Message {
				t.Fatalf("opened %x, %v", got, ok)
			}
			if !ok {
				return
			}
			message := unhex(t, *v.Message)
			sealed := s.Append([]byte("before"), v.Subject, message)[len("before"):]
			again, ok := s.Open(v.Subject, slices.Clone(sealed))
			if !ok || !slices.Equal(again, message) || len(sealed) != len(message)+wire.SealSize {
				t.Errorf("sealed again and opened %x, %v", again, ok)
			}
		})
	}
}

// No two messages of a key have the same nonce: neither those of one seal, nor those of two.
func TestNoncesAreNotRepeated(t *testing.T) {
	seen := make(map[string]bool)
	for range 20 {
		s, err := wire.NewSeal(make([]byte, wire.KeySize))
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			nonce := string(s.Append(nil, "x", nil)[1:13])
			if seen[nonce] {
				t.Fatalf("nonce %x is repeated", nonce)
			}
			seen[nonce] = true
		}
	}
}

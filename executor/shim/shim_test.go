package shim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/executor"
)

// all reads every record.
func all(f Framing, typename string, r io.Reader) ([]string, error) {
	s := newSplitter(r, f.finder(typename))
	var out []string
	for {
		records, err := s.next()
		for _, r := range records {
			out = append(out, string(r))
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("record %d: %w", s.count, err)
		}
	}
}

func TestSplit(t *testing.T) {
	tests := []struct {
		framing  Framing
		typename string
		in       string
		want     []string
		err      string
	}{
		{Lines, text, "a\n\nb", []string{"a", "", "b"}, ""},
		{Lines, text, "a\n", []string{"a"}, ""},
		{Lines, text, "", nil, ""},
		{Lines, text, "a\r\n\r\nb\r\r\nc\r", []string{"a", "", "b\r", "c"}, ""},
		{Nul, text, "a\nb\x00\x00c", []string{"a\nb", "", "c"}, ""},
		{JSONLines, jsonText, " {}\r\n\n[1]", []string{"{}", "[1]"}, ""},
		{Length, "x", "\x00\x00\x00\x02ab\x00\x00\x00\x00", []string{"ab", ""}, ""},
		{Length, "x", "\x00\x00\x00\x01a\x00\x00\x00\x02b", []string{"a"}, "record 1: the output ends inside it"},
		{Length, "x", "\x00\x00", nil, "record 0: the output ends inside it"},
		{Length, "x", "\xff\xff\xff\xffa", nil, "record 0: its length is 4294967295 bytes; the limit is 67108864"},
		{Raw, "octets", "a\xc3", []string{"a\xc3"}, ""},
		{Raw, text, "aä", []string{"aä"}, ""},
		{Raw, text, "a\xc3", []string{"a", "\xc3"}, ""}, // the check of the typename rejects it
	}
	for _, tt := range tests {
		got, err := all(tt.framing, tt.typename, strings.NewReader(tt.in))
		message := ""
		if err != nil {
			message = err.Error()
		}
		if !slices.Equal(got, tt.want) || message != tt.err {
			t.Errorf("%s of %q: got %q, %q; want %q, %q", tt.framing, tt.in, got, message, tt.want, tt.err)
		}
	}
}

// Framed records are read back, whatever the sizes of the reads.
func TestFramedRecordsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		framing := rapid.SampledFrom([]Framing{Lines, Nul, Length}).Draw(t, "framing")
		records := rapid.SliceOf(rapid.OneOf(rapid.StringMatching(`([^\n\x00]{0,19}[^\r\n\x00])?`),
			rapid.Map(rapid.IntRange(0, 3*chunk), func(n int) string { return strings.Repeat("x", n) }))).Draw(t, "records")
		var framed []byte
		var err error
		for _, r := range records {
			if framed, err = framing.append(framed, []byte(r)); err != nil {
				t.Fatal(err)
			}
		}
		var in io.Reader = bytes.NewReader(framed)
		if len(framed) < 1000 && rapid.Bool().Draw(t, "byte by byte") {
			in = iotest.OneByteReader(in)
		}
		got, err := all(framing, "x", in)
		if err != nil || !slices.Equal(got, records) {
			t.Fatalf("got %d records, %v; want %d", len(got), err, len(records))
		}
	})
}

func TestRecordsThatCannotBeFramed(t *testing.T) {
	for framing, record := range map[Framing]string{Lines: "a\nb", Nul: "a\x00", JSONLines: "{"} {
		if got, err := framing.append(nil, []byte(record)); err == nil {
			t.Errorf("%s: %q became %q", framing, record, got)
		}
	}
	if got, err := JSONLines.append(nil, []byte("{\n \"a\": [1,\n2]}")); string(got) != "{\"a\":[1,2]}\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// Raw text is never split inside a character.
func TestRawTextIsSplitBetweenCharacters(t *testing.T) {
	in := strings.Repeat("aä€😀", 100)
	got, err := all(Raw, text, iotest.OneByteReader(strings.NewReader(in)))
	if err != nil || strings.Join(got, "") != in {
		t.Fatalf("got %q, %v", got, err)
	}
	for _, r := range got {
		if strings.ToValidUTF8(r, "?") != r {
			t.Errorf("%q was cut", r)
		}
	}
}

func TestRecordsHaveALimit(t *testing.T) {
	if _, err := all(Lines, "octets", zeros{}); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestParseFramings(t *testing.T) {
	got, err := ParseFramings("lines, a=raw in:b=nul,out:b=length")
	want := Framings{"": Lines, "a": Raw, "in:b": Nul, "out:b": Length}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for p, framing := range map[port]Framing{
		{PortInfo: executor.PortInfo{Name: "a"}}: Raw, {PortInfo: executor.PortInfo{Name: "c"}}: Lines,
		{PortInfo: executor.PortInfo{Name: "b"}}: Length, {PortInfo: executor.PortInfo{Name: "b"}, input: true}: Nul,
	} {
		if got, err := want.of(p); got != framing || err != nil {
			t.Errorf("%s: got %s, %v, want %s", p, got, err, framing)
		}
	}
	if _, err := ParseFramings("a=line"); err == nil || err.Error() != `unknown framing "line": use one of [lines nul length jsonl raw]` {
		t.Errorf("got %v", err)
	}
}

func TestConfigFromFlagsAndEnvironment(t *testing.T) {
	t.Setenv(EnvFraming, "nul,b=raw")
	t.Setenv(EnvExitOK, "1")
	c, err := parse([]string{"--framing", "b=length", "--exit-ok=3, 4", "--stop-grace=2s", "sort", "-z"}, io.Discard)
	want := Config{
		Command: []string{"sort", "-z"}, Framing: Framings{"": Nul, "b": Length}, ExitOK: ExitCodes{1, 3, 4},
		StopGrace: 2e9, Stderr: os.Stderr,
	}
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, %v", c, err)
	}
	_, err = parse([]string{"--stop-grace=20s", "--", "no-such-command"}, io.Discard)
	for _, part := range []string{`cannot run command "no-such-command": not found in PATH`,
		"--stop-grace is 20s: it must be more than 0 and at most 15s"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
}

func TestInvalidExitCodes(t *testing.T) {
	for _, codes := range []string{"x", "-1", "256", "1,,x", "1-3"} {
		_, err := parse([]string{"--exit-ok", codes, "--", "true"}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "is not an exit code: it must be a number from 0 to 255") {
			t.Errorf("%q: %v", codes, err)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var log bytes.Buffer
	tl := tail{log: &log}
	var want string
	for i := range 3000 {
		line := fmt.Sprintf("line %d\n", i)
		want += line
		if n, err := tl.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := tl.String(); got != want[len(want)-tailLimit:] {
		t.Errorf("kept %d bytes that end in %q", len(got), got[len(got)-20:])
	}
	if log.String() != want {
		t.Error("the log is incomplete")
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02ab"), byte(2))
	f.Add([]byte("a\n{}\n\n"), byte(3))
	f.Fuzz(func(t *testing.T, data []byte, which byte) {
		framing := framings[int(which)%len(framings)]
		got, err := all(framing, text, bytes.NewReader(data))
		again, err2 := all(framing, text, iotest.OneByteReader(bytes.NewReader(data)))
		if framing != Raw && (!slices.Equal(got, again) || (err == nil) != (err2 == nil)) {
			t.Fatalf("%s: %q, %v; byte by byte %q, %v", framing, got, err, again, err2)
		}
	})
}

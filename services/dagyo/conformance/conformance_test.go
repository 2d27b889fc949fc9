package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the table of checks into docs/conformance.md")

const page = "../../../docs/conformance.md"

// TestDocs holds the page's table to the checks.
func TestDocs(t *testing.T) {
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(raw), " -update -->\n")
	if !found {
		t.Fatalf("%s has no place for the table", page)
	}
	want := head + " -update -->\n\n" + table()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(raw) != want {
		t.Errorf("%s does not have the checks as they are; run with -update", page)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString("| check | demand | protocol.md |\n|---|---|---|\n")
	for _, c := range Checks() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, c.Demand, c.See)
	}
	return b.String()
}

func TestChecksAreNamedAndSayWhatTheyDemand(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.Name] || !regexp.MustCompile(`^[a-z]+\.[a-z0-9-]+$`).MatchString(c.Name) {
			t.Errorf("%q is no name, or there twice", c.Name)
		}
		seen[c.Name] = true
		if !strings.HasSuffix(c.Demand, ".") || c.run == nil {
			t.Errorf("%s is not complete", c.Name)
		}
		section, _, _ := strings.Cut(c.See, ",")
		if !strings.Contains(string(raw), "\n## "+strings.TrimSpace(section)+"\n") {
			t.Errorf("%s points to %q, which docs/protocol.md does not have", c.Name, section)
		}
	}
}

func TestRecordsAreTextOfTheirSize(t *testing.T) {
	for i := range 500 {
		r := record(i, i)
		if len(r) != i || !utf8.Valid(r) || bytes.ContainsAny(r, "\n\r\t\x00") {
			t.Errorf("record %d is %q", i, r)
		}
	}
	if bytes.Equal(record(1, 40), record(2, 40)) {
		t.Error("records do not say their place")
	}
}

func TestDiffers(t *testing.T) {
	for want, pair := range map[string][2]string{
		"":                     {"abc", "abc"},
		"has 2 bytes; sent: 3": {"ab", "abc"},
		"from byte 1 on":       {"axc", "abc"},
	} {
		err := differs(0, []byte(pair[0]), []byte(pair[1]))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", pair, err, want)
		}
	}
}

// decodes reads all frames and returns the records and the error.
func decodes(frames forgery) (records int, ended bool, err error) {
	d := wire.NewDecoder(0)
	for _, frame := range frames {
		if _, err := d.Frame(frame); err != nil {
			return records, false, err
		}
		for {
			_, ok, err := d.Next()
			if err != nil {
				return records, false, err
			}
			if !ok {
				break
			}
			records++
		}
	}
	return records, d.Ended(), nil
}

func TestForgeriesAreWrongInOneWay(t *testing.T) {
	if n, ended, err := decodes(forge(greetings()...)); n != 4 || !ended || err != nil {
		t.Errorf("right frames give %d records, %v, %v", n, ended, err)
	}
	for reason, y := range map[wire.Reason]forgery{
		wire.ReasonGap:      forge(greetings()...).without(1),
		wire.ReasonTotals:   forge(greetings()...).flipped(13),
		wire.ReasonChecksum: forge(greetings()...).flipped(1),
		wire.ReasonShort:    forge(greetings()...).replaced(1, []byte("%PDF-1.7")),
		wire.ReasonLength:   forge(greetings()...).replaced(1, endless(2)),
	} {
		var e *wire.Error
		if _, _, err := decodes(y); !errors.As(err, &e) || e.Reason != reason {
			t.Errorf("want %v, got %v", reason, err)
		}
	}
}

func TestEnvironHasNothingOfAnotherDagyo(t *testing.T) {
	ours := []string{"PATH=/bin", "DAGYO_CREDS=/etc/creds", "DAGYO_GRACE=1s"}
	got := environ(ours, map[string]string{"DAGYO_JOBS": "a.b"})
	if want := []string{"PATH=/bin", "DAGYO_JOBS=a.b"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var out tail
	for range 3 {
		fmt.Fprint(&out, strings.Repeat("x", tailSize-1))
	}
	fmt.Fprint(&out, "the end")
	if s := out.String(); len(s) != tailSize || !strings.HasSuffix(s, "xthe end") {
		t.Errorf("%d octets, ending in %q", len(s), s[len(s)-10:])
	}
}

func TestReport(t *testing.T) {
	c := Check{Name: "a.b", Demand: "It works.", See: "Frames"}
	r := newReport("", []string{"x"}, []Result{
		judged(c, "fine", nil),
		judged(c, "", fmt.Errorf("wrapped: %w", &skip{"no occasion"})),
		judged(c, "", errors.New("it broke")),
		judged(c, "", fmt.Errorf("after the stop: %w", &slow{"job.done", 10 * time.Second, 12 * time.Second})),
	})
	if r.Passed != 1 || r.Failed != 1 || r.Skipped != 1 || r.Slow != 1 || r.Conforms() {
		t.Errorf("got %+v", r)
	}
	r.Results[2].Stderr = "Traceback\nValueError"
	var text bytes.Buffer
	for _, one := range r.Results {
		one.Write(&text)
	}
	r.Write(&text)
	const want = `pass     a.b                         0.0 s  fine
skipped  a.b                         0.0 s  no occasion
fail     a.b                         0.0 s  it broke
         demanded: It works.
         see docs/protocol.md: Frames
         | Traceback
         | ValueError
slow     a.b                         0.0 s  after the stop: job.done came after 12.0 s, not within 10s: the executor, or the machine, is too slow
         demanded: It works.
         see docs/protocol.md: Frames
1 passed, 1 failed, 1 too slow, 1 skipped
`
	if got := text.String(); got != want {
		t.Errorf("got\n%s", got)
	}
	if b, err := json.Marshal(r.Results[0]); err != nil || !bytes.Contains(b, []byte(`"result":"pass"`)) {
		t.Errorf("got %s, %v", b, err)
	}
}

func some() Config {
	return Config{
		Command: []string{"/bin/sh", "-c", "exit 7"}, Ports: DefaultPorts(), Parallel: 2, Patience: 20 * time.Second,
	}
}

func TestConfigReportsEverythingWrong(t *testing.T) {
	c := Config{Ports: Ports{Progdef: "Echo", In: "in", Out: "o.ut"}, Only: regexp.MustCompile("no-such-check")}
	err := c.Validate()
	for _, want := range []string{"no command", `"Echo"`, `"o.ut"`, "0 checks", "patience", "no check matches"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := some().Validate(); err != nil {
		t.Error(err)
	}
}

func TestCountsAgreeWithNouns(t *testing.T) {
	for l, want := range map[string]string{
		load{1}.String():    "1 record of 1 byte in all",
		load{2, 0}.String(): "2 records of 2 bytes in all",
	} {
		if l != want {
			t.Errorf("got %q, want %q", l, want)
		}
	}
}

// TestExecutorThatEndsAtOnce is told as such, at once, and only once.
func TestExecutorThatEndsAtOnce(t *testing.T) {
	report, err := Run(t.Context(), some())
	if err != nil {
		t.Fatal(err)
	}
	if report.Failed != 1 || report.Skipped != len(Checks())-1 {
		t.Errorf("%d failed, %d skipped", report.Failed, report.Skipped)
	}
	if r := report.Results[0]; !strings.Contains(r.Seen, "exit status 7") {
		t.Errorf("got %+v", r)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	fifo := filepath.Join(t.TempDir(), "started")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		f, err := os.Open(fifo) // waits until the executor has opened its end
		cancel(why)
		opened <- errors.Join(err, f.Close())
	}()
	c := some()
	c.Command = []string{"/bin/sh", "-c", "echo > " + fifo + "; sleep 1000"}
	c.Only = regexp.MustCompile("claim.slots")
	c.Told = func(Result) { t.Error("a result was told after the end") }
	if _, err := Run(ctx, c); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	c := some()
	c.Command = []string{"/no/such/program"}
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("got %v", err)
	}
}

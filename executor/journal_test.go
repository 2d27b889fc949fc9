package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/joblog"
)

// published is a stand-in for the stream that stores what a journal publishes.
type published struct {
	mu    sync.Mutex
	lines []joblog.Line
	sizes []int
	fail  error
	hold  chan struct{} // nil, or closed when publications may go on
}

func (p *published) publish(batch []byte) error {
	if p.hold != nil {
		<-p.hold
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.lines, p.sizes = append(p.lines, joblog.Read(batch)...), append(p.sizes, len(batch))
	return nil
}

func (p *published) journal(rate int, secrets ...string) *journal {
	return newJournal(rate, newMask(secrets), p.publish, func(_ context.Context, batch []byte) error { return p.publish(batch) })
}

// texts returns the texts of the lines, and how many are missing.
func (p *published) texts() (out []string, dropped int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if dropped += l.Dropped; l.Dropped == 0 {
			out = append(out, l.Text)
		}
	}
	return out, dropped
}

func wantTexts(t *testing.T, p *published, want ...string) {
	t.Helper()
	if got, dropped := p.texts(); !slices.Equal(got, want) || dropped != 0 {
		t.Errorf("got %q and %d dropped lines, want %q", got, dropped, want)
	}
}

func TestJournalOfChattyJob(t *testing.T) {
	const lines, rate = 100_000, 500
	var p published
	j := p.journal(rate)
	for i := range lines {
		fmt.Fprintf(j, "line %d\n", i)
	}
	j.close(t.Context())
	got, dropped := p.texts()
	if int64(len(got))+dropped != lines {
		t.Errorf("%d lines and %d dropped ones, want %d together", len(got), dropped, lines)
	}
	if len(got) < rate || dropped == 0 {
		t.Errorf("%d lines were logged and %d dropped, at a rate of %d", len(got), dropped, rate)
	}
	before := -1
	for _, text := range got {
		var n int
		if _, err := fmt.Sscanf(text, "line %d", &n); err != nil || n <= before {
			t.Fatalf("%q follows line %d: %v", text, before, err)
		}
		before = n
	}
	if largest := slices.Max(p.sizes); largest > joblog.MaxMessage {
		t.Errorf("a message has %d bytes", largest)
	}
}

// A connection that blocks does not block the program, and what waits for it is bounded.
func TestJournalNeverWaits(t *testing.T) {
	p := published{hold: make(chan struct{})}
	j := p.journal(1 << 30)
	const lines = 20_000
	for i := range lines {
		fmt.Fprintf(j, "%0300d\n", i)
	}
	j.mu.Lock()
	waiting := len(j.batches)
	j.mu.Unlock()
	if waiting > mostBatches {
		t.Errorf("%d batches wait", waiting)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	close(p.hold)
	j.close(ctx) // may give up
}

func TestJournalCountsWhatIsLost(t *testing.T) {
	p := published{fail: errors.New("disconnected")}
	j := p.journal(10)
	fmt.Fprintln(j, "lost")
	j.flush()
	j.flush() // the line that says so is lost, too
	p.mu.Lock()
	p.fail = nil
	p.mu.Unlock()
	j.close(t.Context())
	if got, dropped := p.texts(); len(got) != 0 || dropped != 1 {
		t.Errorf("got %q and %d dropped lines", got, dropped)
	}
	if text := p.lines[0].Text; text != "… 1 line dropped" {
		t.Errorf("the line says %q", text)
	}
}

func TestJournalLines(t *testing.T) {
	long := strings.Repeat("é", joblog.MaxText)
	var p published
	j := p.journal(1000)
	for _, s := range []string{"a", "b\nc\r\n", "\n", "\xff\x1b[31m\n", long, long + "\n", "end"} {
		if n, err := io.WriteString(j, s); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	j.close(t.Context())
	fmt.Fprintln(j, "too late")
	got, _ := p.texts()
	if len(got) != 6 || !slices.Equal(append(slices.Clone(got[:4]), got[5]), []string{"ab", "c", "", "\ufffd\x1b[31m", "end"}) {
		t.Fatalf("got %q", got)
	}
	cut := got[4]
	if len(cut) > joblog.MaxText || !strings.HasPrefix(cut, "éé") || !strings.HasSuffix(cut, " bytes cut)") {
		t.Errorf("a long line has %d bytes and ends in %q", len(cut), cut[len(cut)-40:])
	}
}

func TestJournalMasks(t *testing.T) {
	const secret = "s3cret-token"
	var p published
	j := p.journal(1000, secret, "short", "-----BEGIN-----\nc29tZWtleQ==\n-----END-----\n", secret+"-longer")
	fmt.Fprintf(j, "url?key=%s&x=short\nc29tZWtleQ== %s-longer\n", secret, secret)
	log := slog.New(newLineHandler(j))
	log.Info("got "+secret, "header", secret)
	// A secret across the place where a line is cut leaves no part of itself.
	for at := joblog.MaxText - 2*len(secret); at < joblog.MaxText+len(secret)+40; at++ {
		fmt.Fprintf(j, "%s%s%s\n", strings.Repeat(".", at), secret, strings.Repeat(".", 100))
	}
	j.close(t.Context())
	got, _ := p.texts()
	if want := []string{"url?key=***&x=short", "*** ***", "got *** header=***"}; !slices.Equal(got[:3], want) {
		t.Errorf("got %q, want %q", got[:3], want)
	}
	for _, text := range got {
		if strings.Contains(text, secret[:2]) {
			t.Errorf("a part of the secret is in %q", text[max(0, len(text)-80):])
		}
	}
}

// What is cut off a failure leaves no part of a secret, wherever the cut is.
func TestMaskOfFailure(t *testing.T) {
	const secret = "s3cret-token"
	m := newMask([]string{secret})
	for after := contract.DetailLimit - 2*len(secret); after <= contract.DetailLimit; after++ {
		end := secret + strings.Repeat(".", after)
		for _, text := range []string{strings.Repeat(".", 100) + end, strings.Repeat("é", 100) + end} {
			f := m.failure(contract.Failure{Message: text, Detail: text})
			if len(f.Detail) > contract.DetailLimit || f.Message != f.Detail || strings.Contains(f.Detail, secret[len(secret)-2:]) {
				t.Errorf("%d bytes behind the secret: %d bytes, which begin with %.40q", after, len(f.Detail), f.Detail)
			}
		}
	}
	// Only the end of a longer text was kept.
	if got := m.end(secret[1:] + strings.Repeat(".", contract.DetailLimit)); strings.Contains(got, secret[len(secret)-2:]) {
		t.Errorf("the text begins with %.40q", got)
	}
}

// A logger that quotes a secret does not hide it from the mask.
func TestMaskOfQuotedSecret(t *testing.T) {
	const secret = `pass"word\two`
	var p published
	j := p.journal(1000, secret, "first-line\nsecond line")
	log := slog.New(newLineHandler(j))
	log.Info("key", "value", secret, "lines", "first-line\nsecond line")
	log.Info("key", "error", errors.New("wrong: "+secret))
	j.close(t.Context())
	wantTexts(t, &p, `key value="***" lines="***\n***"`, `key error="wrong: ***"`)
}

func TestJournalOfLogger(t *testing.T) {
	var p published
	j := p.journal(1000)
	log := slog.New(newLineHandler(j)).With("file", "a b")
	log.Debug("not kept")
	log.Warn("slow", "level", "x", "took", time.Second)
	log.WithGroup("g").Error("two\nlines", "k", 1)
	log.Info("")
	j.close(t.Context())
	wantTexts(t, &p, `slow file="a b" level=x took=1s`, "two", `lines file="a b" g.k=1`, `file="a b"`)
	if got := []string{p.lines[0].Level, p.lines[1].Level, p.lines[3].Level}; !slices.Equal(got, []string{"warn", "error", "info"}) {
		t.Errorf("levels are %q", got)
	}
}

func TestBucket(t *testing.T) {
	at := time.Unix(0, 0)
	b := newBucket(10, at)
	for range 10 {
		if !b.take(at, 1) {
			t.Fatal("a full bucket is empty")
		}
	}
	if b.take(at, 1) || b.ready(at.Add(400*time.Millisecond)) || !b.ready(at.Add(time.Second/2)) {
		t.Error("the bucket does not fill at its rate")
	}
	if !b.take(at.Add(time.Hour), 30) || b.take(at.Add(time.Hour+time.Second), 1) {
		t.Error("a line that costs more than a second leaves no debt")
	}
}

func TestSecretValues(t *testing.T) {
	environ := []string{"A=one", "B=two", "DAGYO_X=three"}
	for names, want := range map[string][]string{"": nil, "B,C": {"two"}, "*": {"one", "two"}, "*,A": {"two"}} {
		t.Setenv("DAGYO_SECRETS", names)
		if got := secretValues(environ); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", names, got, want)
		}
	}
}

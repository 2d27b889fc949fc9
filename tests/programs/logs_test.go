package programs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/joblog"
)

// logs creates the stream of logs.
func (b *bench) logs(l joblog.Limits) jetstream.Stream {
	b.t.Helper()
	b.logRate = 1000
	s, err := b.link.JS.CreateStream(b.ctx(), joblog.StreamConfig(1, l))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// logged returns the lines that are kept of a job.
func (b *bench) logged(s jetstream.Stream, job string) (out []joblog.Line) {
	b.t.Helper()
	subject := contract.Sender{Name: "x-" + job}.On(contract.LogSubject(flow, job))
	for next := uint64(1); ; next++ {
		m, err := s.GetMsg(b.ctx(), next, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return out
		}
		if err != nil {
			b.t.Fatal(err)
		}
		next = m.Sequence
		out = append(out, joblog.Read(m.Data)...)
	}
}

func textsOf(lines []joblog.Line) (out []string) {
	for _, l := range lines {
		out = append(out, l.Stream+" "+l.Level+" "+l.Text)
	}
	return out
}

// When job.done is published, all that the job has logged is stored, and each job has its own lines.
func TestLogsOfJobs(t *testing.T) {
	b := newBench(t)
	s := b.logs(joblog.DefaultLimits())
	b.secrets = []string{"s3cret-token"}
	says := executor.Program{Dynamic: true, Run: func(_ context.Context, j *executor.Job) error {
		j.Log().Warn("reading", "node", j.Node(), "token", "s3cret-token")
		fmt.Fprint(j.Stderr(), "half a line")
		return nil
	}}
	one, two := b.run(says, nil, nil), b.run(says, nil, nil)
	three := b.run(sh(t, "", `echo key s3cret-token >&2; printf '\033[31mred' >&2; exit 3`), nil, nil)
	one.done()
	two.done()
	if p := three.panic(); strings.Contains(p.Detail+p.Message, "s3cret") || !strings.Contains(p.Detail, "key ***") {
		t.Errorf("the panic is %q, %q", p.Message, p.Detail)
	}
	equal(t, "logs of one", textsOf(b.logged(s, one.name)), "log warn reading node=j1 token=***", "stderr  half a line")
	equal(t, "logs of two", textsOf(b.logged(s, two.name)), "log warn reading node=j2 token=***", "stderr  half a line")
	equal(t, "logs of three", textsOf(b.logged(s, three.name)), "stderr  key ***", "stderr  \x1b[31mred")
}

// The end of standard error that is in a panic does not begin with a part of a secret.
func TestSecretAtBeginningOfTail(t *testing.T) {
	b := newBench(t)
	b.secrets = []string{"s3cret-token"}
	// The last 8 and 16 KiB each begin in the middle of the secret.
	script := `f() { printf s3cret-token; head -c $1 /dev/zero | tr '\0' .; }; { f 8180; f 8186; } >&2; exit 3`
	p := b.run(sh(t, "", script), nil, nil).panic()
	if strings.Contains(p.Detail, "oken") || len(p.Detail) < 8<<10-16 {
		t.Errorf("the panic has %d bytes of detail, which begin with %.40q", len(p.Detail), p.Detail)
	}
}

// A job of an older planner has no subject of a log: nothing is sent.
func TestJobWithoutLog(t *testing.T) {
	b := newBench(t)
	s := b.logs(joblog.DefaultLimits())
	b.logRate = 0
	b.run(sh(t, "", "echo lost >&2"), nil, nil).done()
	info, err := s.Info(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if n := info.State.Msgs; n != 0 {
		t.Errorf("%d messages", n)
	}
}

// A command that writes 100,000 lines passes its records on, and what it loses is counted.
func TestChattyCommand(t *testing.T) {
	b := newBench(t)
	s := b.logs(joblog.Limits{MaxAge: time.Hour, MaxBytes: 1 << 20, PerJob: 4})
	const lines = 100_000
	records := numbers(1000, 100)
	out := b.edge("utf8-string")
	j := b.run(sh(t, "", `seq 100000 >&2; cat`), edges{"in": b.given("utf8-string", records...)}, edges{"out": out})
	if got := b.receive(out); !slices.Equal(got, records) {
		t.Errorf("%d records passed, want %d", len(got), len(records))
	}
	j.done()
	info, err := s.Info(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs > 4 || info.State.Bytes > 4*joblog.MaxMessage {
		t.Errorf("%d messages with %d bytes are kept", info.State.Msgs, info.State.Bytes)
	}
	kept := b.logged(s, j.name)
	dropped := int64(0)
	for _, l := range kept {
		dropped += l.Dropped
	}
	if len(kept) == 0 || dropped == 0 || dropped >= lines {
		t.Errorf("%d lines are kept, which say that %d were dropped", len(kept), dropped)
	}
}

// What is too old is forgotten.
func TestLogsAreForgotten(t *testing.T) {
	b := newBench(t)
	s := b.logs(joblog.Limits{MaxAge: time.Second, MaxBytes: 1 << 20, PerJob: 4})
	b.run(sh(t, "", "echo old >&2"), nil, nil).done()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := s.Info(b.ctx())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs == 0 && info.State.LastSeq > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-b.ctx().Done():
			t.Fatalf("%d messages are left", info.State.Msgs)
		}
	}
}

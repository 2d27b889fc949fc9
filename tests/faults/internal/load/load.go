// Package load makes the flows of a run, each with a result that can be checked, and runs them as users would: with the dagyo
// command, a process for each.
package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A Flow is one flow of a run.
type Flow struct {
	ID, Tenant, Shape string
	// At is when it is submitted.
	At time.Duration
	// Document is its flow document, in YAML.
	Document string
	// Input is what its input "in" is fed with, nil if it has none.
	Input []byte
	// Outputs are what its outputs must be.
	Outputs map[string][]byte
	// Want is its verdict, unless a fault excuses another.
	Want contract.Type
	// Kinds are the panics that are its own.
	Kinds []contract.Kind
	// Signal is sent to its client after a time; 0 for none.
	Signal syscall.Signal
	After  time.Duration
}

// Gone reports whether its client is killed: it sees no end.
func (f *Flow) Gone() bool { return f.Signal == syscall.SIGKILL }

// A shape makes flows of one kind.
type shape struct {
	name string
	make func(f *Flow, r *rand.Rand)
}

var shapes = []shape{
	{"diamond", diamond}, {"source", source}, {"slow", slow}, {"queued", queued}, {"large", large}, {"counted", counted},
	{"panicking", panicking}, {"reported", reported}, {"stopped", stopped}, {"cancelled", cancelled}, {"gone", gone},
}

// Flows draws n flows that are submitted within a time, of the given tenants.
func Flows(r *rand.Rand, n int, within time.Duration, tenants []string) []*Flow {
	var all []*Flow
	first := r.IntN(len(shapes))
	for i := range n {
		s := shapes[(first+i)%len(shapes)]
		f := &Flow{
			ID: fmt.Sprintf("%s-%d", s.name, i), Tenant: tenants[r.IntN(len(tenants))], Shape: s.name,
			At: time.Duration(r.Int64N(int64(within))), Want: contract.TypeFlowCompleted,
		}
		s.make(f, r)
		all = append(all, f)
	}
	return all
}

// Canary is a flow that must complete on a healthy installation.
func Canary(tenant string, n int) *Flow {
	f := &Flow{ID: fmt.Sprintf("canary-%d", n), Tenant: tenant, Shape: "canary", Want: contract.TypeFlowCompleted}
	diamond(f, rand.New(rand.NewPCG(1, 1)))
	return f
}

func lines(r *rand.Rand, n, longest int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%d ", i)
		for range r.IntN(longest) {
			b.WriteByte(byte('a' + r.IntN(26)))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// diamond is generic: two copies meet again, in pairs, in order.
func diamond(f *Flow, r *rand.Rand) {
	f.Document = `
nodes: {t: {progdef: tee, types: {T: utf8-string}}, z: {progdef: zip}, f: {progdef: flatten}}
edges: [{from: t.a, to: z.a}, {from: t.b, to: z.b}, {from: z.pair, to: f.in}]
inputs: {in: t.in}
outputs: {out: f.out}
`
	f.Input = lines(r, 1+r.IntN(5000), 100)
	var twice bytes.Buffer
	for line := range bytes.Lines(f.Input) {
		twice.Write(line)
		twice.Write(line)
	}
	f.Outputs = map[string][]byte{"out": twice.Bytes()}
}

func source(f *Flow, r *rand.Rand) {
	n := 1 + r.IntN(50_000)
	f.Document = fmt.Sprintf(`
nodes: {c: {progdef: counter}, h: {progdef: head, with: {n: ["%d"]}}}
edges: [{from: c.number, to: h.in}]
outputs: {out: h.out}
`, n)
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintln(&b, i)
	}
	f.Outputs = map[string][]byte{"out": b.Bytes()}
}

func through(f *Flow, progdef string, in []byte) {
	f.Document = fmt.Sprintf("nodes: {a: {progdef: %s}}\ninputs: {in: a.in}\noutputs: {out: a.out}\n", progdef)
	f.Input, f.Outputs = in, map[string][]byte{"out": in}
}

// slow lasts for 5 to 20 s.
func slow(f *Flow, r *rand.Rand) { through(f, "slow", lines(r, 100+r.IntN(300), 50)) }

// queued waits for the only slot of its progdef.
func queued(f *Flow, r *rand.Rand) { through(f, "single", lines(r, 20+r.IntN(80), 20)) }

// large has records of 1 MiB in two copies.
func large(f *Flow, r *rand.Rand) {
	f.Document = "nodes: {t: {progdef: tee, types: {T: utf8-string}}}\ninputs: {in: t.in}\noutputs: {a: t.a, b: t.b}\n"
	for range 1 + r.IntN(12) {
		f.Input = append(f.Input, bytes.Repeat([]byte{byte('a' + r.IntN(26))}, 1<<20)...)
		f.Input = append(f.Input, '\n')
	}
	f.Outputs = map[string][]byte{"a": f.Input, "b": f.Input}
}

func counted(f *Flow, r *rand.Rand) {
	f.Document = "nodes: {a: {progdef: slow}, n: {progdef: count}}\nedges: [{from: a.out, to: n.in}]\ninputs: {in: a.in}\noutputs: {count: n.count}\n"
	n := 1 + r.IntN(100)
	f.Input, f.Outputs = lines(r, n, 100), map[string][]byte{"count": fmt.Appendln(nil, n)}
}

// panicking fails by itself.
func panicking(f *Flow, r *rand.Rand) {
	through(f, "failing", lines(r, 100, 50))
	f.Outputs = nil
	f.Want, f.Kinds = contract.TypeFlowPanic, []contract.Kind{contract.KindError, contract.KindCrash}
}

// reported fails by itself, and another node reads why.
func reported(f *Flow, r *rand.Rand) {
	f.Document = "nodes: {a: {progdef: failing}, v: {progdef: void_sink}}\nedges: [{from: a.out, to: v.in}]\ninputs: {in: a.in}\noutputs: {why: a.panic}\n"
	f.Input = lines(r, 100, 50)
	f.Want, f.Kinds = contract.TypeFlowPanic, []contract.Kind{contract.KindError, contract.KindCrash}
}

// stopped has an endless source that a record stops.
func stopped(f *Flow, r *rand.Rand) {
	f.Document = "nodes: {c: {progdef: counter}, v: {progdef: void_sink}, a: {progdef: slow}}\nedges: [{from: c.number, to: v.in}, {from: a.out, to: c.stop}]\ninputs: {in: a.in}\n"
	f.Input = lines(r, 1, 50)
}

// cancelled is cancelled by its user.
func cancelled(f *Flow, r *rand.Rand) {
	f.Document = "nodes: {c: {progdef: counter}, v: {progdef: void_sink}}\nedges: [{from: c.number, to: v.in}]\n"
	f.Want, f.Signal, f.After = contract.TypeFlowCancelled, syscall.SIGINT, time.Duration(r.Int64N(int64(8*time.Second)))
}

// gone has a client that is killed.
func gone(f *Flow, r *rand.Rand) {
	through(f, "slow", lines(r, 2000, 50))
	f.Outputs = nil
	f.Want, f.Signal, f.After = contract.TypeFlowCancelled, syscall.SIGKILL, 2*time.Second+time.Duration(r.Int64N(int64(6*time.Second)))
}

// A Result is what the client of a flow has seen.
type Result struct {
	Flow       *Flow
	Began, End time.Time
	// Code is the exit code, -1 if the client was killed.
	Code int
	// Told is what it wrote to standard error.
	Told string
	// Wrong says how the outputs differ from what they must be, "" if they do not.
	Wrong string
}

// A Commander makes the dagyo command for a flow's user.
type Commander interface {
	Command(ctx context.Context, args ...string) *exec.Cmd
	As(tenant string) []string
}

// Run runs a flow until its client exits, or the context ends. Its files are in dir.
func (f *Flow) Run(ctx context.Context, c Commander, dir string) (*Result, error) {
	dir = filepath.Join(dir, f.Tenant+"."+f.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(file("flow.yaml"), []byte(f.Document), 0o600); err != nil {
		return nil, err
	}
	args := []string{"run", file("flow.yaml"), "--id", f.ID, "--progress", "lines"}
	if f.Input != nil {
		if err := os.WriteFile(file("in"), f.Input, 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--input", "in="+file("in"))
	}
	for name := range f.Outputs {
		args = append(args, "--output", name+"="+file("out."+name), "--output-format", name+"=lines")
	}
	cmd := c.Command(ctx, append(args, c.As(f.Tenant)...)...)
	var told bytes.Buffer
	cmd.Stderr = &told
	r := &Result{Flow: f, Began: time.Now()}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if f.Signal != 0 {
		timer := time.AfterFunc(f.After, func() { _ = cmd.Process.Signal(f.Signal) }) // it may have exited
		defer timer.Stop()
	}
	err := cmd.Wait()
	r.End, r.Code, r.Told = time.Now(), cmd.ProcessState.ExitCode(), strings.TrimSpace(told.String())
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	if r.Code == 0 {
		r.Wrong, err = f.compare(file)
	} else {
		err = nil
	}
	return r, err
}

// compare says how outputs differ from what they must be.
func (f *Flow) compare(file func(string) string) (string, error) {
	var wrong []string
	for name, want := range f.Outputs {
		got, err := os.ReadFile(file("out." + name))
		if errors.Is(err, os.ErrNotExist) {
			got = nil
		} else if err != nil {
			return "", err
		}
		if !bytes.Equal(got, want) {
			n := 0
			for n < len(got) && n < len(want) && got[n] == want[n] {
				n++
			}
			wrong = append(wrong, fmt.Sprintf("output %s has %d bytes of %d, equal up to byte %d", name, len(got), len(want), n))
		}
	}
	return strings.Join(wrong, "; "), nil
}

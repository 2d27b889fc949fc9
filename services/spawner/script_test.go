package spawner

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/script"
	"github.com/dagyo/dagyo/services/spawner/admission"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/places"
)

func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		l := DefaultLimits()
		l.Executors = 4
		return (&machine{t: t, s: NewState(l, nil), now: time.Unix(1_000_000, 0).UTC(), ids: map[string]string{}}).do
	})
}

// machine feeds a state with the events that script lines stand for, and prints what is decided. What
// is decided is folded at once, as it would come back from EVENTS.
type machine struct {
	t   *testing.T
	s   *State
	now time.Time
	seq uint64
	// ids are the executors in the order of their starts: scripts call them by their place, as greet-1.
	ids map[string]string
}

func (m *machine) do(line string) string {
	var toIDs []string
	for _, id := range m.longestFirst() {
		toIDs = append(toIDs, m.ids[id]+" ", id+" ", m.ids[id]+"=", id+"=")
	}
	out := m.carryOut(strings.Fields(strings.NewReplacer(toIDs...).Replace(line + " ")))
	var toNames []string
	for _, id := range m.longestFirst() {
		toNames = append(toNames, id, m.ids[id])
	}
	return strings.NewReplacer(toNames...).Replace(out)
}

// longestFirst returns the ids, such that none stands before one that it begins.
func (m *machine) longestFirst() []string {
	return slices.SortedFunc(maps.Keys(m.ids), func(a, b string) int { return len(b) - len(a) })
}

func (m *machine) carryOut(f []string) string {
	switch f[0] {
	case "limit": // limit executors=4 queue=2 time=1m tenant-slots=3 user-waiting=2
		for _, a := range f[1:] {
			name, v, _ := strings.Cut(a, "=")
			n, _ := strconv.Atoi(v)
			switch name {
			case "queue":
				m.s.limits.Queue = n
			case "time":
				m.s.limits.QueueTime, _ = time.ParseDuration(v)
			case "executors":
				m.s.limits.Executors = n
			default:
				m.quota(name, n)
			}
		}
		return ""
	case "applied": // applied greet@r1 slots=2 max=3 min=0 idle=1m
		name, p := pinned(f[1], f[2:])
		return m.event(contract.TypeProgdefApplied, name, &contract.ProgdefApplied{Name: name, Revision: p.Revision, Document: p.Document})
	case "sharing": // the places are shared with other tenants
		m.s.Sharing()
		return m.feed(contract.Event{})
	case "allowed": // allowed 3: the tenant may have so many executors
		n, _ := strconv.Atoi(f[1])
		g := places.Grant{Executors: n, Number: m.s.sharing.granted.Number + 1}
		return m.feed(contract.Event{Type: factPlaces, With: g})
	case "removed":
		return m.event(contract.TypeProgdefRemoved, f[1], &contract.ProgdefRemoved{Name: f[1]})
	case "planned": // planned f greet@r1*2 slots=1 max=1 priority=5 by=anna
		m.event(contract.TypeFlowValidated, f[1], &contract.FlowValidated{Owner: option(f, "by")})
		return m.event(contract.TypeFlowPlanned, f[1], planned(f[1], f[2:]))
	case "again": // a second flow.planned
		return m.event(contract.TypeFlowPlanned, f[1], planned(f[1], f[2:]))
	case "completed":
		return m.event(contract.TypeFlowCompleted, f[1], &contract.FlowCompleted{})
	case "panicked":
		return m.event(contract.TypeFlowPanic, f[1], &contract.FlowPanic{})
	case "cancelled":
		return m.event(contract.TypeFlowCancelled, f[1], &contract.FlowCancelled{})
	case "started":
		return m.event(contract.TypeJobStarted, f[1], &contract.JobStarted{Job: f[2], Executor: f[3]})
	case "done":
		done := &contract.JobDone{Job: f[2]}
		if len(f) > 3 {
			done.Executor = f[3] // another than the one that has started it
		} else if r := m.s.runs[f[1]]; r != nil && r.State[f[2]] != nil {
			done.Executor = r.State[f[2]].Executor
		}
		return m.event(contract.TypeJobDone, f[1], done)
	case "exited": // exited ID code
		code, _ := strconv.Atoi(f[2])
		return m.event(contract.TypeExecutorExited, f[1], &contract.ExecutorExited{Executor: f[1], Code: code})
	case "draining": // draining ID, told from outside
		return m.event(contract.TypeExecutorDraining, f[1], &contract.ExecutorDraining{Executor: f[1]})
	case "refused": // refused ID
		return m.event(contract.TypeExecutorExited, f[1],
			&contract.ExecutorExited{Executor: f[1], Code: -1, Permanent: true})
	case "tick":
		d, _ := time.ParseDuration(f[1])
		m.now = m.now.Add(d)
		return m.feed(contract.Event{Time: m.now})
	case "state":
		return m.state()
	case "ask": // ask [progdef]
		all, _ := askExecutors(m.s, []byte(strings.Join(f[1:], "")))
		return lines(all.([]contract.Capacity))
	case "usage":
		all, _ := askUsage(m.s, nil)
		u := all.(contract.Usage)
		out := []string{fmt.Sprintf("executors %d of %d", u.Executors, u.ExecutorLimit), fmt.Sprintf("tenant %+v of %+v", u.Tenant, u.TenantLimits)}
		for _, h := range u.Users {
			out = append(out, fmt.Sprintf("user %q %+v of %+v", h.User, h.Holding, u.UserLimits))
		}
		return strings.Join(out, "\n")
	case "stalls": // stalls executor=reason-in-words
		return m.stalls(f[1:])
	case "protected":
		return fmt.Sprint(m.s.protected(m.now))
	}
	m.t.Fatalf("unknown command %q", f)
	return ""
}

// quota sets a quota, before the first flow.
func (m *machine) quota(name string, n int) {
	q := &m.s.limits.Tenant
	of, what, _ := strings.Cut(name, "-")
	if of == admission.OfUser {
		q = &m.s.limits.User
	}
	*map[string]*int{
		admission.OfFlows: &q.Flows, admission.OfWaiting: &q.Waiting, admission.OfSlots: &q.Slots,
		admission.OfExecutors: &q.Executors,
	}[what] = n
}

// stalls is what flows are told of executors that run but for a reason.
func (m *machine) stalls(args []string) string {
	var running []backend.Status
	for _, a := range args {
		id, why, _ := strings.Cut(a, "=")
		progdef, revision := contract.SplitMailbox(m.s.executors[id].Mailbox)
		running = append(running, backend.Status{
			Instance: backend.Instance{Executor: id, Progdef: progdef, Revision: revision},
			Waiting:  strings.ReplaceAll(why, "-", " "),
		})
	}
	return m.feed(contract.Event{Type: factRunning, With: reasons(running)})
}

func lines[T any](all []T) string {
	var out []string
	for _, x := range all {
		body, _ := json.Marshal(x)
		out = append(out, string(body))
	}
	return strings.Join(out, "\n")
}

func pinned(ref string, args []string) (string, progdef.Pinned) {
	name, revision, _ := strings.Cut(ref, "@")
	p := progdef.Pinned{Revision: revision, Document: progdef.Document{Name: name, Scaling: progdef.Scaling{
		JobsPerExecutor: 1, MaxExecutors: 3, IdleTimeout: document.Duration(time.Minute),
	}}}
	for _, a := range args {
		key, v, _ := strings.Cut(a, "=")
		n, _ := strconv.Atoi(v)
		switch key {
		case "slots":
			p.Document.Scaling.JobsPerExecutor = n
		case "max":
			p.Document.Scaling.MaxExecutors = n
		case "min":
			p.Document.Scaling.MinExecutors = n
		}
	}
	return name, p
}

// option returns the value of an option, "" if it is not given.
func option(args []string, name string) string {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return ""
}

func planned(flow string, args []string) *contract.FlowPlanned {
	d := &contract.FlowPlanned{Progdefs: map[string]progdef.Pinned{}}
	var options []string
	for _, a := range args {
		if strings.Contains(a, "=") {
			options = append(options, a)
		}
	}
	d.Priority, _ = strconv.Atoi(option(args, "priority"))
	for _, a := range args {
		ref, times, ok := strings.Cut(a, "*")
		if !ok {
			continue
		}
		name, p := pinned(ref, options)
		d.Progdefs[name] = p
		n, _ := strconv.Atoi(times)
		for i := range n {
			d.Jobs = append(d.Jobs, contract.Job{Flow: flow, Job: fmt.Sprintf("%s-%d", name, i), Progdef: name, Revision: p.Revision})
		}
	}
	return d
}

func (m *machine) event(t contract.Type, subject string, data any) string {
	return m.feed(contract.Event{Type: t, Subject: subject, Time: m.now, Data: data})
}

func (m *machine) waiting() (ids []string) {
	for _, f := range m.s.queue.Flows() {
		ids = append(ids, f.ID)
	}
	return ids
}

// feed folds an event, and what is decided until there is nothing to do.
func (m *machine) feed(e contract.Event) string {
	touched := m.fold(e)
	if e.Type == "" || e.Type == factRunning { // time has passed
		touched = Open(m.s)
	}
	var out []string
	for len(touched) > 0 {
		key := touched[0]
		effects, _ := Decide(m.s, key, m.now)
		touched = touched[1:]
		if len(effects) > 0 && m.s.sharing != nil { // as the core does
			touched = append(touched, key)
		}
		for _, x := range effects {
			x.Time = m.now
			body, _ := json.Marshal(x.Data)
			if x.Type == actClaim {
				body, _ = json.Marshal(x.With)
			}
			how := ""
			if x.With == giveUp {
				how = " (given up)"
			}
			if x.Type != actCheck {
				out = append(out, fmt.Sprintf("%s %s %s%s", x.Type, x.Subject, body, how))
			}
			touched = append(touched, m.fold(x)...)
		}
	}
	return strings.Join(out, "\n")
}

// fold folds an event at the next place in EVENTS, and gives a new executor its name in the script.
func (m *machine) fold(e contract.Event) []string {
	m.seq++
	e.Seq = m.seq
	if d, ok := e.Data.(*contract.ExecutorStarted); ok {
		sum := sha256.Sum256([]byte(contract.Mailbox(d.Progdef, d.Revision)))
		head := fmt.Sprintf("%s-%x-", d.Progdef, sum[:4])
		n := 1
		for _, name := range m.ids {
			if strings.HasPrefix(name, head) {
				n++
			}
		}
		m.ids[d.Executor] = fmt.Sprint(head, n)
	}
	return Evolve(m.s, e)
}

func (m *machine) state() string {
	var out []string
	for _, mailbox := range slices.Sorted(maps.Keys(m.s.revisions)) {
		out = append(out, fmt.Sprintf("%s used=%d", mailbox, m.s.revisions[mailbox].used))
	}
	for _, id := range slices.Sorted(maps.Keys(m.s.executors)) {
		x := m.s.executors[id]
		out = append(out, fmt.Sprintf("%s jobs=%d draining=%v", id, x.jobs, x.Draining))
	}
	return strings.Join(append(out, fmt.Sprintf("queue=%v runs=%d", m.waiting(), len(m.s.runs))), "\n")
}

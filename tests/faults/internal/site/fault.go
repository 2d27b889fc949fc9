package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/faults/internal/schedule"
	"github.com/dagyo/dagyo/tests/harness/executors"
)

const cont = syscall.SIGCONT

// Apply makes a step happen, and returns when the fault is over. Steps may overlap.
func (t *Site) Apply(ctx context.Context, step schedule.Step, r *rand.Rand) error {
	pause := func() { time.Sleep(step.For) } // faults end in time, also when the run is interrupted
	switch step.Fault {
	case schedule.KillLeader, schedule.KillAny:
		p := t.pick(step, r)
		p.kill()
		pause()
		return p.start()
	case schedule.Pause:
		p := t.pick(step, r)
		p.signal(syscall.SIGSTOP)
		pause()
		p.signal(cont)
	case schedule.RollingRestart:
		return t.rollServices()
	case schedule.KillExecutor, schedule.KillSupervisor:
		t.killOne(step.Fault == schedule.KillSupervisor, r)
	case schedule.BrokerKill:
		b := t.brokers[r.IntN(len(t.brokers))]
		b.kill()
		pause()
		return b.start()
	case schedule.BrokerStop:
		b := t.brokers[r.IntN(len(t.brokers))]
		err := b.stop(stopWait)
		pause()
		return errors.Join(err, b.start())
	case schedule.BrokerPause:
		b := t.brokers[r.IntN(len(t.brokers))]
		b.signal(syscall.SIGSTOP)
		pause()
		b.signal(cont)
	case schedule.BrokerRolling:
		return t.rollBrokers(ctx)
	case schedule.BrokerMajority:
		return t.killMajority(r, pause)
	case schedule.PowerCut:
		return t.cutPower(pause)
	case schedule.Partition, schedule.HalfOpen, schedule.OneWay, schedule.SlowLink, schedule.SmallWindow:
		t.setLinks(step, r, modes[step.Fault], pause)
	case schedule.DiskFull:
		return t.fillDisks(ctx, pause)
	case schedule.CPUStarved:
		return t.starve(pause)
	case schedule.HostileClient:
		return t.attack(ctx, step.For, r)
	default:
		return fmt.Errorf("unknown fault %q", step.Fault)
	}
	return nil
}

// pick returns the replica that leads, or any for kill-any.
func (t *Site) pick(step schedule.Step, r *rand.Rand) *replica {
	all := t.services[step.Target]
	if step.Fault == schedule.KillAny {
		return all[r.IntN(len(all))]
	}
	var leader *replica
	var since time.Time
	for _, one := range all {
		if at := one.led(); leader == nil || at.After(since) {
			leader, since = one, at
		}
	}
	return leader
}

// led is when it last began to lead, according to its log.
func (p *process) led() (last time.Time) {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return last
	}
	for line := range strings.Lines(string(raw)) {
		var said struct {
			Time    time.Time `json:"time"`
			Message string    `json:"message"`
		}
		if strings.Contains(line, `"leading"`) && json.Unmarshal([]byte(line), &said) == nil && said.Message == "leading" {
			last = said.Time
		}
	}
	return last
}

// rollServices restarts all replicas one after the other, as an upgrade does.
func (t *Site) rollServices() (err error) {
	for _, name := range contract.Services() {
		for _, r := range t.services[name] {
			err = errors.Join(err, r.stop(stopWait), r.start())
			time.Sleep(time.Second) // as who restarts by hand: without looking whether it is ready
		}
	}
	return err
}

// rollBrokers restarts all servers, each once the one before is healthy.
func (t *Site) rollBrokers(ctx context.Context) error {
	for _, b := range t.brokers {
		if err := errors.Join(b.stop(stopWait), b.start()); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, startWait)
		err := t.await(ctx, func() error { return b.ask(ctx, "/healthz", new(any)) })
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Site) killMajority(r *rand.Rand, pause func()) (err error) {
	spared := r.IntN(len(t.brokers))
	for i, b := range t.brokers {
		if i != spared {
			b.kill()
		}
	}
	pause()
	for _, b := range t.brokers {
		err = errors.Join(err, b.start())
	}
	return err
}

// cutPower kills everything at once, and starts all but the executors again.
func (t *Site) cutPower(pause func()) (err error) {
	for _, b := range t.brokers {
		b.signal(syscall.SIGKILL)
	}
	for _, all := range t.services {
		for _, r := range all {
			r.signal(syscall.SIGKILL)
		}
	}
	t.killExecutors()
	for _, b := range t.brokers {
		b.wait(context.Background())
	}
	pause()
	for _, b := range t.brokers {
		err = errors.Join(err, b.start())
	}
	for _, all := range t.services {
		for _, r := range all {
			r.wait(context.Background())
			err = errors.Join(err, r.start())
		}
	}
	return err
}

// killOne kills an executor's program or its supervisor, if any runs.
func (t *Site) killOne(supervisor bool, r *rand.Rand) {
	all := t.allExecutors()
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, x := range all {
		if x.home.Kill(x.id, supervisor) {
			t.noteKilled(x.id)
			return
		}
	}
}

// An executor has its files in the state directory of its tenant.
type executor struct {
	home executors.Dir
	id   string
}

// allExecutors returns the executors of all tenants that have files, running or not.
func (t *Site) allExecutors() (all []executor) {
	homes := []executors.Dir{t.executors}
	tenants, _ := filepath.Glob(filepath.Join(string(t.executors), "tenants", "*")) // the pattern is right
	for _, home := range tenants {
		homes = append(homes, executors.Dir(home))
	}
	for _, home := range homes {
		for _, id := range home.Executors() {
			all = append(all, executor{home, id})
		}
	}
	return all
}

func (t *Site) noteKilled(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.killed[id] = true
}

// killExecutors kills all supervisors, whose programs end with them.
func (t *Site) killExecutors() {
	for _, x := range t.allExecutors() {
		x.home.Kill(x.id, false)
		if x.home.Kill(x.id, true) {
			t.noteKilled(x.id)
		}
	}
}

var modes = map[schedule.Fault]Mode{
	schedule.Partition: Cut, schedule.HalfOpen: Silent, schedule.OneWay: Deaf, schedule.SlowLink: Slow, schedule.SmallWindow: SmallWindow,
}

// setLinks changes the ways of one party; of a service those of the replica that leads.
func (t *Site) setLinks(step schedule.Step, r *rand.Rand, m Mode, pause func()) {
	links := t.parties[step.Target]
	if links == nil {
		links = t.pick(step, r).links
	}
	for _, k := range links {
		k.set(m)
	}
	pause()
	for _, k := range links {
		k.set(Open)
	}
}

// smallDisk is the size of a server's disk in runs that fill it.
const smallDisk = 256 << 20 // bytes

// mount gives a server a small disk if the schedule fills it.
func (t *Site) mount(b *server) error {
	if !t.small {
		return nil
	}
	if err := unix.Mount("dagyo-faults", b.store, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", smallDisk)); err != nil {
		return fmt.Errorf("disk-full needs the right to mount: %w", err)
	}
	return nil
}

func (t *Site) unmount(b *server) error {
	if !t.small {
		return nil
	}
	if err := unix.Unmount(b.store, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%s: %w", b.store, err)
	}
	return nil
}

// fillDisks fills the servers' disks, makes room again, and restarts servers that have disabled JetStream, as operators are
// told to do.
func (t *Site) fillDisks(ctx context.Context, pause func()) (err error) {
	for _, b := range t.brokers {
		if ferr := fill(filepath.Join(b.store, "filler")); !errors.Is(ferr, unix.ENOSPC) {
			err = errors.Join(err, fmt.Errorf("the disk of %s is not full: %v", b.name, ferr))
		}
	}
	pause()
	for _, b := range t.brokers {
		err = errors.Join(err, os.Remove(filepath.Join(b.store, "filler")))
		if b.ask(ctx, "/healthz", new(any)) != nil {
			err = errors.Join(err, b.stop(stopWait), b.start())
		}
	}
	return err
}

func fill(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // there is no room for what it may still hold
	_, err = io.Copy(f, zeros{})
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// starve keeps the processors busy with many processes.
func (t *Site) starve(pause func()) (err error) {
	var busy []*process
	for i := range 10 * runtime.NumCPU() {
		p := newProcess(t.path("logs"), fmt.Sprintf("busy-%d", i), busyLoop)
		busy = append(busy, p)
		err = errors.Join(err, p.start())
	}
	pause()
	for _, p := range busy {
		p.kill()
	}
	return err
}

// attack publishes what a hostile user may publish, as fast as the server takes it.
func (t *Site) attack(ctx context.Context, d time.Duration, r *rand.Rand) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var all sync.WaitGroup
	errs := make([]error, len(t.tenants))
	for i, tenant := range t.tenants {
		seed := r.Uint64()
		all.Go(func() { errs[i] = t.attackTenant(ctx, tenant, rand.New(rand.NewPCG(seed, 1))) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (t *Site) attackTenant(ctx context.Context, tenant string, r *rand.Rand) error {
	link, err := broker.Connect(ctx, broker.Options{
		URL: t.Server(), Name: "hostile", Access: broker.Access{Creds: t.Creds(tenant, "user")},
		Extra: []nats.Option{nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}, // most is refused
	})
	if err != nil {
		return nil // the server is away, or the time over
	}
	defer link.Close()
	by := contract.Sender{Name: "user"}
	subjects := []string{
		by.On(string(contract.TypeFlowSubmit)), by.On(string(contract.TypeFlowCancel)), by.On(contract.AskFlowList), by.On(contract.AskFlowGet),
		string(contract.TypeFlowCompleted) + ".none", "edges.0.none.1", contract.StopSubject("0", "none"),
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	body := make([]byte, 4<<10)
	for ctx.Err() == nil {
		for i := range body {
			body[i] = byte(r.Uint32())
		}
		_ = link.Publish(subjects[r.IntN(len(subjects))], body[:r.IntN(len(body))]) // it may be refused, or the server away
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

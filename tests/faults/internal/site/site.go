// Package site runs an installation of Dagyo as operators would: NATS servers, two replicas of each service and executors, each a
// process of its own, every party with its own way to NATS; and makes parts of it fail.
package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/tests/faults/internal/schedule"
	"github.com/dagyo/dagyo/tests/harness/executors"
)

// replicas is the number of replicas of each service.
const replicas = 2

// Bounds of what must happen while nothing fails.
const (
	startWait = time.Minute
	stopWait  = 20 * time.Second
)

// A Site is a running installation.
type Site struct {
	dir, dagyo string
	brokers    []*server
	services   map[string][]*replica
	parties    map[string][]*link // executors and clients: the ways to each server
	executors  executors.Dir
	tenants    []string
	small      bool // the servers' disks are small

	mu     sync.Mutex
	killed map[string]bool // executors
}

// A replica of a service has its own way to each server.
type replica struct {
	*process
	links []*link
}

// Start starts an installation for a schedule in an empty folder, with the dagyo command. The caller must close it, also after
// an error.
func Start(ctx context.Context, dagyo, dir string, s schedule.Schedule) (*Site, error) {
	t := &Site{
		dir: dir, dagyo: dagyo, services: make(map[string][]*replica), parties: make(map[string][]*link),
		executors: executors.Dir(filepath.Join(dir, "executors")), killed: make(map[string]bool),
	}
	for i := range s.Tenants {
		t.tenants = append(t.tenants, Tenant(i))
	}
	for _, step := range s.Steps {
		t.small = t.small || step.Fault == schedule.DiskFull
	}
	ctx, cancel := context.WithTimeout(ctx, 2*startWait)
	defer cancel()
	return t, t.start(ctx, s)
}

// Tenant is the name of a tenant.
func Tenant(i int) string {
	if i == 0 {
		return keyring.DefaultTenant
	}
	return fmt.Sprintf("tenant-%d", i+1)
}

func (t *Site) start(ctx context.Context, s schedule.Schedule) error {
	if err := os.MkdirAll(t.path("logs"), 0o700); err != nil {
		return err
	}
	if _, err := t.Run(ctx, nil, "init", "auth", "--dir", t.path("auth"), "--accounts", t.path("accounts"), "--nats-dir", t.path("auth", "nats"), "--replicas", fmt.Sprint(s.Servers)); err != nil {
		return err
	}
	var err error
	if t.brokers, err = makeBrokers(t.dir, t.path("logs"), s.Servers); err != nil {
		return err
	}
	for _, b := range t.brokers {
		if err := t.mount(b); err != nil {
			return err
		}
		if err := b.start(); err != nil {
			return err
		}
	}
	if err := t.awaitBrokers(ctx); err != nil {
		return err
	}
	for _, party := range []string{schedule.Executors, schedule.Clients} {
		if t.parties[party], err = t.ways(); err != nil {
			return err
		}
	}
	for _, name := range contract.Services() {
		for i := range replicas {
			if err := t.addReplica(name, i, s); err != nil {
				return err
			}
		}
	}
	for _, tenant := range t.tenants {
		if err := t.prepare(ctx, tenant); err != nil {
			return err
		}
		if err := t.await(ctx, func() error { return t.healthy(ctx, tenant) }); err != nil {
			return err
		}
		if err := t.publish(ctx, tenant); err != nil {
			return err
		}
	}
	return nil
}

func (t *Site) path(parts ...string) string {
	return filepath.Join(append([]string{t.dir}, parts...)...)
}

// ways returns a way to each server.
func (t *Site) ways() (all []*link, err error) {
	for _, b := range t.brokers {
		k, err := newLink(b.address)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

func urls(links []*link) string {
	var all []string
	for _, k := range links {
		all = append(all, k.url())
	}
	return strings.Join(all, ",")
}

// Server is the servers' own addresses, on which nothing is made to fail.
func (t *Site) Server() string {
	var all []string
	for _, b := range t.brokers {
		all = append(all, (&url.URL{Scheme: "nats", Host: b.address}).String())
	}
	return strings.Join(all, ",")
}

// prepare adds a tenant, and the credentials of its users.
func (t *Site) prepare(ctx context.Context, tenant string) error {
	if tenant != keyring.DefaultTenant {
		if _, err := t.Run(ctx, nil, "tenant", "add", tenant, "--data", t.path("auth"), "--server", t.Server()); err != nil {
			return err
		}
	}
	for _, role := range []string{"user", "publisher", "operator"} {
		if _, err := t.Run(ctx, nil, "user", "add", role, "--role", role, "--tenant", tenant, "--data", t.path("auth"), "--out", t.Creds(tenant, role)); err != nil {
			return err
		}
	}
	return nil
}

// Creds is the file with the credentials of a role in a tenant: user, publisher or operator.
func (t *Site) Creds(tenant, role string) string { return t.path(tenant + "." + role + ".creds") }

// As returns the flags with which a command is one of a user of a tenant. Faults are for such commands.
func (t *Site) As(tenant string) []string {
	return []string{"--server", urls(t.parties[schedule.Clients]), "--creds", t.Creds(tenant, "user")}
}

// Above returns the flags of a role with which no fault interferes.
func (t *Site) Above(tenant, role string) []string {
	return []string{"--server", t.Server(), "--creds", t.Creds(tenant, role)}
}

func (t *Site) addReplica(name string, i int, s schedule.Schedule) error {
	links, err := t.ways()
	if err != nil {
		return err
	}
	auth := func(file string) string { return t.path("auth", name, file) }
	args := []string{
		name, "--server", urls(links), "--creds", auth("nats.creds"), "--tenants", auth("tenants.json"),
		"--log-level", "info", "--replicas", fmt.Sprint(s.Servers),
	}
	switch name {
	case "planner":
		storage := "memory"
		if s.Files {
			storage = "file"
		}
		args = append(args, "--edge-storage", storage, fmt.Sprintf("--seal-edges=%t", s.Sealed), "--output-retention", "5s", "--sweep-every", "2s")
	case "spawner":
		args = append(args, "--executors", string(t.executors), "--executor-keys", auth("executors.json"), "--queue", urls(t.parties[schedule.Executors]), "--linger", "10s")
	case "panic-aggregator":
		args = append(args, "--client-silence", "20s")
	}
	p := newProcess(t.path("logs"), fmt.Sprintf("%s-%d", name, i+1), func() *exec.Cmd { return t.Command(context.Background(), args...) })
	t.services[name] = append(t.services[name], &replica{p, links})
	return p.start()
}

// Command is the dagyo command with its arguments. Its executors find it, too.
func (t *Site) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, t.dagyo, args...)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(t.dagyo)+string(os.PathListSeparator)+os.Getenv("PATH"), "DAGYO_CONTEXT=", "DAGYO_QUEUE=")
	return cmd
}

// Run runs the dagyo command and returns what it prints.
func (t *Site) Run(ctx context.Context, in []byte, args ...string) (string, error) {
	cmd := t.Command(ctx, args...)
	cmd.Stdin = bytes.NewReader(in)
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("dagyo %s: %w: %s", strings.Join(args[:min(2, len(args))], " "), err, strings.TrimSpace(told.String()))
	}
	return out.String(), nil
}

func (t *Site) healthy(ctx context.Context, tenant string) error {
	_, err := t.Run(ctx, nil, append([]string{"health"}, t.Above(tenant, "operator")...)...)
	return err
}

// progdefs are those of the load, beside the standard ones.
const progdefs = `
name: slow
command: [dagyo, exec, --, sh, -c, 'while IFS= read -r l; do printf "%s\n" "$l"; sleep 0.05; done']
inputs: {in: utf8-string}
outputs: {out: utf8-string}
scaling: {jobsPerExecutor: 4, maxExecutors: 2, idleTimeout: 5s}
---
name: single
command: [dagyo, exec, --, sh, -c, 'while IFS= read -r l; do printf "%s\n" "$l"; sleep 0.02; done']
inputs: {in: utf8-string}
outputs: {out: utf8-string}
scaling: {jobsPerExecutor: 1, maxExecutors: 1, idleTimeout: 5s}
---
name: failing
command: [dagyo, exec, --, sh, -c, 'read -r l; echo broken >&2; exit 3']
inputs: {in: utf8-string}
outputs: {out: utf8-string}
scaling: {jobsPerExecutor: 2, maxExecutors: 2, idleTimeout: 5s}
`

// publish publishes the programs of the load, and the standard ones without an image.
func (t *Site) publish(ctx context.Context, tenant string) error {
	documents := bytes.NewBufferString(progdefs)
	for _, p := range std.Standard() {
		fmt.Fprintf(documents, "---\n%s\n", p.Document)
	}
	return t.await(ctx, func() error {
		_, err := t.Run(ctx, documents.Bytes(), append([]string{"progdef", "apply", "-"}, t.Above(tenant, "publisher")...)...)
		return err
	})
}

// await tries until it succeeds or the context ends.
func (t *Site) await(ctx context.Context, try func() error) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

func (t *Site) awaitBrokers(ctx context.Context) error {
	for _, b := range t.brokers {
		if err := t.await(ctx, func() error { return b.ask(ctx, "/healthz", new(any)) }); err != nil {
			return err
		}
	}
	return nil
}

// ErrNotHealed is returned if something does not run or does not answer although no fault lasts.
var ErrNotHealed = errors.New("not healed")

// Heal waits until everything runs and answers again, after all faults have ended, or returns ErrNotHealed. A service that has
// exited by itself is not healed.
func (t *Site) Heal(ctx context.Context) error {
	if err := t.awaitHealed(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNotHealed, err)
	}
	return nil
}

func (t *Site) awaitHealed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	if err := t.awaitBrokers(ctx); err != nil {
		return err
	}
	for name, all := range t.services {
		for _, r := range all {
			if err := r.alive(); err != nil {
				return fmt.Errorf("a replica of %s: %w", name, err)
			}
		}
	}
	for _, tenant := range t.tenants {
		if err := t.await(ctx, func() error { return t.healthy(ctx, tenant) }); err != nil {
			return err
		}
	}
	return nil
}

// Close ends everything that the site has started.
func (t *Site) Close() error {
	var err error
	for _, all := range t.services {
		for _, r := range all {
			r.signal(cont)
			r.kill()
			for _, k := range r.links {
				k.close()
			}
		}
	}
	t.killExecutors()
	for _, all := range t.parties {
		for _, k := range all {
			k.close()
		}
	}
	for _, b := range t.brokers {
		b.signal(cont)
		b.kill()
		err = errors.Join(err, t.unmount(b))
	}
	return err
}

// Left lists what is stored for flows in the servers' streams of edges and of jobs.
func (t *Site) Left(ctx context.Context) (all []string, err error) {
	for _, b := range t.brokers {
		var page struct {
			Accounts []struct {
				Name    string `json:"name"`
				Streams []struct {
					Name  string `json:"name"`
					State struct {
						Messages int `json:"messages"`
					} `json:"state"`
				} `json:"stream_detail"`
			} `json:"account_details"`
		}
		if err := b.ask(ctx, "/jsz?accounts=true&streams=true", &page); err != nil {
			return nil, err
		}
		for _, a := range page.Accounts {
			for _, s := range a.Streams {
				if n := s.State.Messages; n > 0 && (s.Name == contract.StreamJobs || strings.HasPrefix(s.Name, contract.EdgeStreamPrefix)) {
					all = append(all, fmt.Sprintf("%s of account %.6s on %s has %d messages", s.Name, a.Name, b.name, n))
				}
			}
		}
	}
	return all, nil
}

// AwaitNothingLeft waits until nothing is stored for flows.
func (t *Site) AwaitNothingLeft(ctx context.Context) (left []string, err error) {
	for {
		left, err = t.Left(ctx)
		if err != nil || len(left) == 0 {
			return left, err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return left, nil
		}
	}
}

// Killed are the executors that were killed.
func (t *Site) Killed() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.killed
}

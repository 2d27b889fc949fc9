// Package schedule says what happens to an installation, and when: pure data that a seed draws, and that has a text form.
package schedule

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A Fault is what happens to a part of an installation.
type Fault string

// The faults. README.md says what each does.
const (
	KillLeader     Fault = "kill-leader"
	KillAny        Fault = "kill-any"
	Pause          Fault = "pause"
	RollingRestart Fault = "rolling-restart"
	KillExecutor   Fault = "kill-executor"
	KillSupervisor Fault = "kill-supervisor"
	BrokerKill     Fault = "broker-kill"
	BrokerStop     Fault = "broker-stop"
	BrokerPause    Fault = "broker-pause"
	BrokerRolling  Fault = "broker-rolling"
	BrokerMajority Fault = "broker-majority"
	PowerCut       Fault = "power-cut"
	Partition      Fault = "partition"
	HalfOpen       Fault = "half-open"
	OneWay         Fault = "one-way"
	SlowLink       Fault = "slow-link"
	SmallWindow    Fault = "small-window"
	DiskFull       Fault = "disk-full"
	CPUStarved     Fault = "cpu-starved"
	HostileClient  Fault = "hostile-client"
)

// Parties that a fault of the network or a pause can be for, besides the services.
const (
	Executors = "executors"
	Clients   = "clients"
)

// A rule says how a fault is drawn, and what it excuses.
type rule struct {
	// targets are what it can be for; none if it needs no choice.
	targets []string
	// shortest and longest bound its duration; both 0 if it has none.
	shortest, longest time.Duration
	// cluster is set if it needs several servers.
	cluster bool
	// loses is set if what the broker stores in memory may be lost.
	loses bool
	// excuses are the kinds of panic that flows may have while it lasts, beside those that loses excuses.
	excuses []contract.Kind
}

var (
	services = contract.Services()
	parties  = append(slices.Clone(services), Executors, Clients)
	lost     = []contract.Kind{contract.KindCrash, contract.KindLostHealth}
)

var rules = map[Fault]rule{
	KillLeader:     {targets: services, shortest: 0, longest: 10 * time.Second},
	KillAny:        {targets: services, shortest: 0, longest: 10 * time.Second},
	Pause:          {targets: services, shortest: time.Second, longest: 20 * time.Second},
	RollingRestart: {},
	KillExecutor:   {excuses: lost},
	KillSupervisor: {excuses: lost},
	BrokerKill:     {shortest: 0, longest: 10 * time.Second, loses: true},
	BrokerStop:     {shortest: 0, longest: 10 * time.Second, loses: true},
	BrokerPause:    {shortest: time.Second, longest: 10 * time.Second},
	BrokerRolling:  {cluster: true, loses: true},
	BrokerMajority: {cluster: true, shortest: time.Second, longest: 10 * time.Second, loses: true},
	PowerCut:       {shortest: 0, longest: 5 * time.Second, loses: true, excuses: lost},
	Partition:      {targets: parties, shortest: time.Second, longest: 15 * time.Second},
	HalfOpen:       {targets: parties, shortest: time.Second, longest: 15 * time.Second},
	OneWay:         {targets: parties, shortest: time.Second, longest: 15 * time.Second},
	SlowLink:       {targets: parties, shortest: 5 * time.Second, longest: 20 * time.Second},
	SmallWindow:    {targets: parties, shortest: 5 * time.Second, longest: 20 * time.Second},
	DiskFull:       {shortest: time.Second, longest: 10 * time.Second, loses: true}, // servers that disable JetStream restart
	CPUStarved:     {shortest: 5 * time.Second, longest: 20 * time.Second},
	HostileClient:  {shortest: 5 * time.Second, longest: 15 * time.Second},
}

// Faults returns the names of all faults in order.
func Faults() []Fault {
	var all []Fault
	for f := range rules {
		all = append(all, f)
	}
	slices.Sort(all)
	return all
}

// A Step is a fault at a time.
type Step struct {
	At     time.Duration
	Fault  Fault
	Target string // "" if the fault has none
	For    time.Duration
}

// Excuses returns the kinds of panic that a flow may have that was alive while the step lasted. With files, the broker
// stores edges in files.
func (s Step) Excuses(files bool) []contract.Kind {
	r := rules[s.Fault]
	kinds := slices.Clone(r.excuses)
	if s.Target == Executors { // heartbeats go the same way as records
		kinds = append(kinds, contract.KindLostHealth)
	}
	if r.loses && !files {
		kinds = append(kinds, contract.KindLostEdges)
	}
	return kinds
}

// A Schedule is what happens in one run, on which installation.
type Schedule struct {
	Seed    uint64
	Servers int  // of NATS: 1 or 3
	Files   bool // edges are stored in files
	Sealed  bool
	Tenants int
	Flows   int
	Steps   []Step
}

// Length is the time in which flows are submitted and steps begin.
const Length = 20 * time.Second

// Random draws a schedule; equal seeds give equal ones. Only names the faults that may occur, none of them for all, and
// servers the number of servers of NATS, 0 to draw that, too.
func Random(seed uint64, servers int, only ...Fault) Schedule {
	r := rand.New(rand.NewPCG(seed, 0))
	s := Schedule{Seed: seed, Servers: 1 + 2*r.IntN(2), Files: r.IntN(2) == 0, Sealed: r.IntN(4) == 0, Tenants: 1 + r.IntN(2), Flows: 8 + r.IntN(13)}
	if servers > 0 {
		s.Servers = servers
	}
	all := only
	if len(all) == 0 {
		all = Faults()
	}
	all = slices.DeleteFunc(slices.Clone(all), func(f Fault) bool { return rules[f].cluster && s.Servers == 1 })
	if len(all) == 0 {
		return s
	}
	for range 1 + r.IntN(4) {
		step := Step{At: between(r, time.Second, Length-2*time.Second), Fault: all[r.IntN(len(all))]}
		rule := rules[step.Fault]
		if n := len(rule.targets); n > 0 {
			step.Target = rule.targets[r.IntN(n)]
		}
		step.For = between(r, rule.shortest, rule.longest)
		s.Steps = append(s.Steps, step)
	}
	slices.SortFunc(s.Steps, func(a, b Step) int { return int(a.At - b.At) })
	return s
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return (low + time.Duration(r.Int64N(int64(high-low)))).Round(100 * time.Millisecond)
}

// String returns the step as "2.5s pause spawner 7s".
func (s Step) String() string {
	words := []string{s.At.String(), string(s.Fault)}
	if s.Target != "" {
		words = append(words, s.Target)
	}
	if rules[s.Fault].longest > 0 {
		words = append(words, s.For.String())
	}
	return strings.Join(words, " ")
}

// String returns the text form, which Parse reads.
func (s Schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\nservers %d\nfiles %t\nsealed %t\ntenants %d\nflows %d\n", s.Seed, s.Servers, s.Files, s.Sealed, s.Tenants, s.Flows)
	for _, step := range s.Steps {
		fmt.Fprintln(&b, step)
	}
	return b.String()
}

// Parse reads the text form of a schedule. Empty lines and those that begin with # mean nothing.
func Parse(text string) (s Schedule, err error) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.line(words); err != nil {
			return s, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if s.Servers != 1 && s.Servers != 3 {
		return s, fmt.Errorf("servers: %d is neither 1 nor 3", s.Servers)
	}
	if s.Tenants < 1 || s.Flows < 1 {
		return s, fmt.Errorf("tenants %d, flows %d: there must be one at least", s.Tenants, s.Flows)
	}
	return s, lines.Err()
}

func (s *Schedule) line(words []string) (err error) {
	settings := map[string]any{
		"seed": &s.Seed, "servers": &s.Servers, "files": &s.Files, "sealed": &s.Sealed, "tenants": &s.Tenants, "flows": &s.Flows,
	}
	if to, ok := settings[words[0]]; ok {
		if len(words) != 2 {
			return fmt.Errorf("%s needs one value", words[0])
		}
		_, err := fmt.Sscan(words[1], to)
		return err
	}
	step, err := parseStep(words)
	s.Steps = append(s.Steps, step)
	return err
}

func parseStep(words []string) (s Step, err error) {
	if s.At, err = time.ParseDuration(words[0]); err != nil {
		return s, fmt.Errorf("%q is neither a setting nor a time", words[0])
	}
	if len(words) < 2 {
		return s, fmt.Errorf("which fault at %s?", words[0])
	}
	s.Fault = Fault(words[1])
	r, ok := rules[s.Fault]
	if !ok {
		return s, fmt.Errorf("%q is no fault: %v", words[1], Faults())
	}
	words = words[2:]
	if len(r.targets) > 0 {
		if len(words) == 0 || !slices.Contains(r.targets, words[0]) {
			return s, fmt.Errorf("%s needs one of %v", s.Fault, r.targets)
		}
		s.Target, words = words[0], words[1:]
	}
	if r.longest > 0 {
		if len(words) == 0 {
			return s, fmt.Errorf("%s needs a duration", s.Fault)
		}
		if s.For, err = time.ParseDuration(words[0]); err != nil {
			return s, fmt.Errorf("%s: %q is no duration", s.Fault, words[0])
		}
		words = words[1:]
	}
	if len(words) > 0 {
		return s, fmt.Errorf("%s: what does %q mean?", s.Fault, words[0])
	}
	return s, nil
}

// Smaller returns schedules that have less of what s has, those with the fewest faults first.
func (s Schedule) Smaller() (all []Schedule) {
	for i := range s.Steps {
		one := s
		one.Steps = slices.Delete(slices.Clone(s.Steps), i, i+1)
		all = append(all, one)
	}
	if s.Flows > 2 {
		half := s
		half.Flows = s.Flows / 2
		all = append(all, half)
	}
	return all
}

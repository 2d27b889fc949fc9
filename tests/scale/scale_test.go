package main

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the output into docs/scale.md")

const (
	page  = "../../docs/scale.md"
	bench = "../../docs/bench/2026-11-30-cell.json"
	// The output is between these lines.
	begin, end = "<!-- make simulate-scale -->\n\n", "<!-- end -->\n"
)

func costs(t *testing.T) Costs {
	t.Helper()
	raw, err := os.ReadFile(bench)
	if err != nil {
		t.Fatal(err)
	}
	c, err := readCosts(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPage checks that docs/scale.md has what the command prints.
func TestPage(t *testing.T) {
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(raw), begin)
	got, tail, found := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s lacks the lines %q and %q", page, begin, end)
	}
	want := report(costs(t))
	if *update {
		if err := os.WriteFile(page, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != want {
		t.Errorf("docs/scale.md does not have the output of make simulate-scale: run go test ./tests/scale -update")
	}
}

// TestCounts checks that the simulated flow stores as many messages as the measured one.
func TestCounts(t *testing.T) {
	c := costs(t)
	if math.Round(c.Events) != perFlow || math.Round(c.Jobs) != jobs {
		t.Errorf("measured: %.2f events and %.2f jobs; simulated: %d and %d", c.Events, c.Jobs, perFlow, jobs)
	}
}

// TestReadCosts checks that a page without some of the figures is refused.
func TestReadCosts(t *testing.T) {
	if _, err := readCosts([]byte(`{"figures":[{"rounds":[{"r3 events server":1}]}]}`)); err == nil {
		t.Error("a page without most figures was read")
	}
}

func TestDigits(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.123: "0.12", 0.999: "1.0", 1.26: "1.3", 27.4: "27", 690: "690", 1449: "1,400", 1_234_567: "1,200,000",
	} {
		if got := digits(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

// TestStation compares stations with the formulas for random arrivals (M/M/1 and M/M/2).
func TestStation(t *testing.T) {
	for _, tt := range []struct {
		workers    int
		load, mean float64 // mean time in the station, in units of the work's length
	}{
		{1, 0.5, 2}, {1, 0.8, 5}, {2, 0.5, 4. / 3}, {2, 0.8, 1 / (1 - 0.64)},
	} {
		s := newSimulation()
		station := &station{simulation: s, workers: tt.workers}
		const n = 100_000
		var total float64
		var arrive func(int)
		arrive = func(i int) {
			began := s.now
			station.do(1, func() { total += s.now - began })
			if i < n {
				s.after(s.random.ExpFloat64()/tt.load/float64(tt.workers), func() { arrive(i + 1) })
			}
		}
		arrive(1)
		s.run()
		if mean := total / n; math.Abs(mean/tt.mean-1) > 0.05 {
			t.Errorf("%d workers at load %.1f: mean %.3f, want %.3f", tt.workers, tt.load, mean, tt.mean)
		}
		if used := station.used / float64(tt.workers) / s.now; math.Abs(used-tt.load) > 0.02 {
			t.Errorf("%d workers at load %.1f: used %.3f", tt.workers, tt.load, used)
		}
	}
}

// TestLimit checks that the simulated cell carries what is offered below its lowest limit, and never more than that limit.
// Far above it carries less: new flows delay those under way.
func TestLimit(t *testing.T) {
	c := costs(t)
	for _, m := range machines() {
		limit := flowLimits(c, m)[0].carries()
		for offered, want := range map[float64]struct{ least, most float64 }{0.9: {0.85, 0.95}, 1.3: {0.7, 1.01}} {
			cell := newCell(c, m)
			cell.flows(offered*limit, simulated)
			if got := cell.carried() / limit; got < want.least || got > want.most {
				t.Errorf("%s: at %.1f of the limit it carries %.2f", m.Name, offered, got)
			}
		}
	}
}

// TestQuorum checks that a message is stored when two of three servers have it.
func TestQuorum(t *testing.T) {
	for stopped, want := range []int{1, 0} { // the number of stopped followers, less one
		cell := newCell(costs(t), machines()[0])
		for i := range stopped + 1 {
			cell.servers[1+i].workers = 0
		}
		cell.flows(1, 1)
		if len(cell.done) != want {
			t.Errorf("%d servers stopped: %d flows ended, want %d", stopped+1, len(cell.done), want)
		}
	}
}

package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// sustained measures whether anything grows at the highest rate.
func (s *Suite) sustained() Figure {
	d := s.options.Sustained
	if s.options.Short {
		d = 10 * time.Second
	}
	return Figure{
		Name: "sustained", Rounds: 1,
		How: fmt.Sprintf("%d concurrent flows source → greet → void_sink for %v, in ten parts. The last "+
			"part is compared with the second: EVENTS and history fill up in the first. Memory is measured after a collection, between "+
			"the parts. The share of snapshots is the time that services spent encoding their states, relative to their CPU "+
			"time.", inFlight, d),
		Variants: []Variant{{"flows", func(r *Run) (Values, error) { return r.sustainLong(d) }}},
		Rows: []Row{
			{"flows per second, last part / second part", "last flows", "second flows", PerSecond("flows"),
				Goal{AtLeast: 0.9, Text: "flat: ≥ 0.9"}},
			{"submit → cleaned p50", "last cleaned", "second cleaned", Seconds, Goal{AtMost: 1.1, Text: "flat: ≤ 1.1"}},
			{"memory of nats-server", "last server", "second server", Size, Goal{AtMost: 1.1, Text: "flat: ≤ 1.1"}},
			{"memory of the services", "last services", "second services", Size, Goal{AtMost: 1.1, Text: "flat: ≤ 1.1"}},
			{"disk of everything but history", "last disk", "second disk", Size, Goal{AtMost: 1.2, Text: "flat: ≤ 1.2"}},
			{"disk of history, bytes per flow", "history", "", Plain, Goal{}},
			{"encoding snapshots, share of the services' CPU time", "snapshots", "", Plain,
				Goal{AtMost: 0.03, Text: "≤ 0.03"}},
		},
	}
}

const parts = 10

func (r *Run) sustainLong(d time.Duration) (Values, error) {
	p := &past{Run: r, dir: filepath.Join(r.dir, r.nextID())}
	ctx, cancel := r.longer(d + historyLimit)
	defer cancel()
	p.Run.Context = ctx
	defer p.stop()
	if err := errors.Join(p.startServer(), p.startServices()); err != nil {
		return nil, err
	}
	out, flows := Values{}, 0
	for part := range parts {
		name := map[int]string{1: "second ", parts - 1: "last "}[part]
		n, err := p.part(d/parts, name, out)
		if err != nil {
			return nil, err
		}
		flows += n
	}
	past, err := diskUse(p.dir, true)
	out["history"] = past / float64(flows)
	share, failed := p.snapshotShare()
	out["snapshots"] = share
	return out, errors.Join(err, failed)
}

// part runs flows for a time, and measures them if it has a name.
func (p *past) part(d time.Duration, name string, out Values) (int, error) {
	ids := make(chan string)
	end := time.Now().Add(d)
	go func() {
		defer close(ids)
		for time.Now().Before(end) {
			ids <- p.nextID()
		}
	}()
	steps, done, err := p.all(p, ids, end)
	if err != nil || name == "" {
		return done, err
	}
	out[name+"flows"] = float64(done) / d.Seconds()
	out[name+"cleaned"] = worker.Quantile(steps[contract.TypeFlowCleaned], 0.5).Seconds()
	server, services, err := p.memory(p.Run)
	out[name+"server"], out[name+"services"] = server, services
	disk, failed := diskUse(p.dir, false)
	out[name+"disk"] = disk
	return done, errors.Join(err, failed)
}

// diskUse is the size of a server's files: those of history, or all others.
func diskUse(dir string, ofHistory bool) (bytes float64, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was removed in the meantime
		}
		if err != nil || entry.IsDir() || strings.Contains(path, contract.StreamHistory) != ofHistory {
			return err
		}
		if info, err := entry.Info(); err == nil {
			bytes += float64(info.Size())
		}
		return nil
	})
	return bytes, err
}

// snapshotShare is the share of the services' CPU time spent encoding snapshots.
func (p *past) snapshotShare() (float64, error) {
	var writing, cpu float64
	for _, name := range client.Services() {
		m, err := p.Link.RequestWithContext(p, "$SRV.STATS.dagyo-"+name, nil)
		if err != nil {
			return 0, err
		}
		var stats micro.Stats
		if err := json.Unmarshal(m.Data, &stats); err != nil {
			return 0, err
		}
		for _, e := range stats.Endpoints {
			var own struct{ SnapshotMicroseconds float64 }
			if json.Unmarshal(e.Data, &own) == nil && own.SnapshotMicroseconds > 0 {
				writing += own.SnapshotMicroseconds / 1e6
				break
			}
		}
		used, err := cpuTime(p.Stack.services[name].PID())
		if err != nil {
			return 0, err
		}
		cpu += used
	}
	return writing / cpu, nil
}

// ticksPerSecond is the unit of times in /proc.
const ticksPerSecond = 100

// cpuTime is the CPU time of a process in seconds.
func cpuTime(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	system, failed := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond, errors.Join(err, failed)
}

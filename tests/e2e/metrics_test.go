package e2e

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/services/dagyo/monitor"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/validator"
	"github.com/dagyo/dagyo/tests/harness"
)

// A measured is a process that serves metrics.
type measured struct {
	monitor *monitor.Monitor
	url     string
}

// newMeasured returns a process that is expected to serve.
func newMeasured(t *testing.T, services ...string) *measured {
	t.Helper()
	m, err := monitor.New(t.Context(), monitor.Config{Name: "dagyo-test", Services: services, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Listen("127.0.0.1:0", false, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = m.Close(t.Context())
	})
	for _, name := range services {
		m.Expect(name, []string{""})
	}
	return &measured{m, "http://" + s.Addr().String()}
}

// in makes the services of a stack use the process.
func (m *measured) in(o *harness.Options) {
	o.Validator.Metrics, o.Planner.Metrics = m.monitor.Meter(), m.monitor.Meter()
	o.Spawner.Metrics, o.Aggregator.Metrics = m.monitor.Meter(), m.monitor.Meter()
}

func (m *measured) get(t *testing.T, path string) (code int, body string) {
	t.Helper()
	answer, err := http.Get(m.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// scrape returns the values by series, such as dagyo_slots{progdef="sink",state="free"}; of a histogram, the count.
func (m *measured) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	_, body := m.get(t, "/metrics")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for name, family := range families {
		for _, x := range family.Metric {
			var labels []string
			for _, l := range x.Label {
				if l.GetValue() != "" {
					labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				}
			}
			slices.Sort(labels)
			out[name+"{"+strings.Join(labels, ",")+"}"] = x.Counter.GetValue() + x.Gauge.GetValue() + float64(x.Histogram.GetSampleCount())
		}
	}
	return out
}

// until polls until check returns nothing that is wrong: an event is counted a moment after a client receives it.
func until(t *testing.T, check func() string) {
	t.Helper()
	deadline := time.NewTimer(harness.Patience)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatal(wrong)
		}
	}
}

// sums waits until the sums of series over processes are those that are wanted.
func sums(t *testing.T, want map[string]float64, of ...*measured) {
	t.Helper()
	until(t, func() string {
		sum := make(map[string]float64)
		for _, m := range of {
			for series, value := range m.scrape(t) {
				sum[series] += value
			}
		}
		for _, series := range slices.Sorted(maps.Keys(want)) {
			if sum[series] != want[series] {
				return fmt.Sprintf("%s is %v, want %v", series, sum[series], want[series])
			}
		}
		return ""
	})
}

// idle are the values when no flow is live.
func idle(values map[string]float64) map[string]float64 {
	for name, value := range map[metrics.Name]float64{
		metrics.FlowsLive: 0, metrics.FlowsQueued: 0, metrics.JobsRunning: 0, metrics.SubmissionsUnanswered: 0,
	} {
		values[string(name)+"{}"] = value
	}
	return values
}

// leading are the values when one replica of each service leads.
func leading() map[string]float64 {
	values := make(map[string]float64)
	for _, name := range harness.Services {
		values[fmt.Sprintf("dagyo_service_leader{service=%q}", name)] = 1
	}
	return values
}

// Each event counts once, whoever leads, and never again after a restart.
func TestMetricsCountOnce(t *testing.T) {
	first, second := newMeasured(t), newMeasured(t)
	o := harness.DefaultOptions()
	first.in(&o)
	s := harness.Start(t, o)
	s.Reconfigure(second.in)
	s.StartAll(t)
	sums(t, leading(), first, second)
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.ApplyFaulty(t, harness.Faulty{Name: "go-panics", Out: true, Slots: 10, Max: 1})
	runKinds(t, c, "a")
	want := idle(map[string]float64{
		`dagyo_flow_submissions_total{}`:                             5,
		`dagyo_flow_verdicts_total{verdict="completed"}`:             2,
		`dagyo_flow_verdicts_total{kind="error",verdict="panic"}`:    1,
		`dagyo_flow_verdicts_total{kind="deadline",verdict="panic"}`: 0,
		`dagyo_flow_verdicts_total{verdict="cancelled"}`:             1,
		`dagyo_flow_rejections_total{code="unknown-progdef"}`:        1,
		`dagyo_flow_duration_seconds{verdict="completed"}`:           2,
		`dagyo_flow_start_latency_seconds{phase="validated"}`:        4,
		`dagyo_flow_start_latency_seconds{phase="planned"}`:          4,
		`dagyo_flow_start_latency_seconds{phase="spawned"}`:          4,
		`dagyo_flow_start_latency_seconds{phase="started"}`:          4,
		`dagyo_deadletters_total{code="not-answerable"}`:             0,
		`dagyo_executor_starts_total{}`:                              3,
	})
	maps.Copy(want, leading())
	sums(t, want, first, second)

	for _, name := range harness.Services {
		s.KillService(t, name)
	}
	third := newMeasured(t)
	s.Reconfigure(third.in)
	s.StartAll(t)
	sums(t, leading(), third) // what is stored while nobody leads does not count
	c.Submit(t, "after", words)
	completed(t, c.AwaitEnd(t, "after"))
	sums(t, idle(map[string]float64{
		`dagyo_flow_submissions_total{}`:                          1,
		`dagyo_flow_verdicts_total{verdict="completed"}`:          1,
		`dagyo_flow_verdicts_total{kind="error",verdict="panic"}`: 0,
		`dagyo_flow_rejections_total{code="unknown-progdef"}`:     0,
		`dagyo_flow_start_latency_seconds{phase="started"}`:       1,
	}), third)
}

// runKinds runs two flows that complete, and one each that panics, is cancelled and is rejected.
func runKinds(t *testing.T, c *harness.Client, prefix string) {
	t.Helper()
	for i := range 2 {
		flow := fmt.Sprintf("%s-good-%d", prefix, i)
		c.Submit(t, flow, words)
		completed(t, c.AwaitEnd(t, flow))
	}
	c.Submit(t, prefix+"-bad", alone("go-panics"))
	panicked(t, c.AwaitEnd(t, prefix+"-bad"))
	start(t, c, prefix+"-gone", fed("sink", "1m"))
	c.Cancel(t, prefix+"-gone")
	if e := c.AwaitEnd(t, prefix+"-gone"); e.Type != contract.TypeFlowCancelled {
		t.Errorf("%s of %s", e.Type, e.Subject)
	}
	c.Submit(t, prefix+"-wrong", alone("nosuch"))
	if e := c.AwaitEnd(t, prefix+"-wrong"); e.Type != contract.TypeFlowRejected {
		t.Errorf("%s of %s", e.Type, e.Subject)
	}
}

// All instruments of services are on the page, and their series do not grow with flows.
func TestMetricsAreBounded(t *testing.T) {
	m := newMeasured(t)
	o := harness.DefaultOptions()
	m.in(&o)
	const most = 1000
	o.Validator.Broker.EventsMaxCount, o.Planner.Broker.EventsMaxCount = most, most
	o.Spawner.Broker.EventsMaxCount, o.Aggregator.Broker.EventsMaxCount = most, most
	s := harness.Start(t, o)
	sums(t, leading(), m)
	c := s.Client(t)
	for _, f := range []harness.Faulty{{Name: "words", Out: true}, {Name: "sink", In: true}, {Name: "go-panics", Out: true}} {
		f.Slots, f.Idle = 10, "10m" // slots are listed while there are executors
		c.ApplyFaulty(t, f)
	}
	for range most / 4 { // a snapshot is written
		c.Cancel(t, "nosuch")
	}
	if _, err := c.JS.Conn().Request(contract.AskFlowList, []byte("{}"), harness.Patience); err != nil {
		t.Fatal(err)
	}
	runKinds(t, c, "a")
	c.Submit(t, "a-good-0", alone("words")) // another document
	until(t, func() string {
		have := instruments(m.scrape(t))
		for _, i := range metrics.Table() {
			if i.Of != "gateway" && !have[string(i.Name)] {
				return fmt.Sprintf("%s is not on the page", i.Name)
			}
		}
		return ""
	})
	before := m.series(t)
	for i := range 4 {
		runKinds(t, c, fmt.Sprintf("b%d", i))
	}
	sums(t, idle(map[string]float64{`dagyo_flow_submissions_total{}`: 26}), m)
	after := m.series(t)
	if !slices.Equal(before, after) {
		t.Errorf("the series have changed:\n%s\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	unbounded := regexp.MustCompile(`"(a|b\d)-|"(words|sink|go-panics)-\d`)
	for _, series := range after {
		if unbounded.MatchString(series) {
			t.Errorf("%s names a flow or an executor", series)
		}
	}
}

// series returns the names and labels of Dagyo's own series.
func (m *measured) series(t *testing.T) []string {
	t.Helper()
	all := m.scrape(t)
	maps.DeleteFunc(all, func(name string, _ float64) bool { return !strings.HasPrefix(name, "dagyo_") })
	return slices.Sorted(maps.Keys(all))
}

func instruments(series map[string]float64) map[string]bool {
	out := make(map[string]bool)
	for name := range series {
		name, _, _ = strings.Cut(name, "{")
		out[name] = true
	}
	return out
}

// A process is ready once its service is connected and current.
func TestReadyWhenCurrent(t *testing.T) {
	m := newMeasured(t, aggregator.Name)
	unready := func(why string) {
		t.Helper()
		until(t, func() string {
			want := "the panic-aggregator " + why + "\n"
			if code, body := m.get(t, "/readyz"); code != http.StatusServiceUnavailable || body != want {
				return fmt.Sprintf("%d %s; want %s", code, body, want)
			}
			return ""
		})
	}
	ready := func() {
		t.Helper()
		until(t, func() string {
			code, body := m.get(t, "/readyz")
			if code != http.StatusOK {
				return body
			}
			return ""
		})
	}
	unready("is not running")
	o := harness.DefaultOptions()
	o.Without = []string{validator.Name, planner.Name, spawner.Name}
	m.in(&o)
	t.Run("without JetStream", func(t *testing.T) {
		o := o
		o.WithoutJetStream = true
		harness.Start(t, o)
		unready("is still reading events")
	})
	unready("is not running")
	s := harness.Start(t, o)
	ready()
	s.Server.Stop()
	unready("is not connected to NATS")
	if code, _ := m.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz is %d", code)
	}
	s.Server.Restart(t)
	ready()
}

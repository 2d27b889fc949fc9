package admission

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/script"
)

func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		return newWorld(t, 100).do
	})
}

// A world is pools, a queue and running flows.
type world struct {
	t       rapid.TB
	pools   map[string]*Pool
	queue   *Queue
	limit   int
	now     time.Time
	seq     uint64
	running map[string]*Flow
	granted map[string]time.Time
	started int // executors
	// warm executors stay when they are idle, until others need their places.
	warm bool
	// ofTenant and ofUser are the quotas of each tenant and user.
	ofTenant, ofUser Quota
}

func newWorld(t rapid.TB, limit int) *world {
	w := &world{
		t: t, pools: make(map[string]*Pool), queue: NewQueue(30 * time.Second), limit: limit,
		now: time.Unix(1_000_000, 0).UTC(), running: make(map[string]*Flow), granted: make(map[string]time.Time),
	}
	w.queue.Weight = func(tenant string) int {
		n, _ := strconv.Atoi(strings.TrimLeft(tenant, "abcdefghijklmnopqrstuvwxyz"))
		return n
	}
	w.queue.Quotas = func(Owner) (tenant, user Quota) { return w.ofTenant, w.ofUser }
	return w
}

// do carries out a line of a script.
func (w *world) do(line string) string {
	f := strings.Fields(line)
	switch f[0] {
	case "pool": // pool NAME SLOTS MAX
		slots, _ := strconv.Atoi(f[2])
		most, _ := strconv.Atoi(f[3])
		w.pools[f[1]] = &Pool{Name: f[1], Slots: slots, Max: most}
		return ""
	case "limit":
		w.limit, _ = strconv.Atoi(f[1])
		return ""
	case "quota": // quota user flows=2 waiting=3 slots=4 executors=5; before the first flow
		q := &w.ofTenant
		if f[1] == OfUser {
			q = &w.ofUser
		}
		for _, a := range f[2:] {
			what, v, _ := strings.Cut(a, "=")
			n, _ := strconv.Atoi(v)
			*map[string]*int{OfFlows: &q.Flows, OfWaiting: &q.Waiting, OfSlots: &q.Slots, OfExecutors: &q.Executors}[what] = n
		}
		return ""
	case "lacks": // lacks FLOW
		if x := w.queue.Flow(f[1]); x != nil {
			return w.lacks(x)
		}
		return f[1] + " does not wait"
	case "add": // add FLOW tenant/user priority POOL*SLOTS...
		tenant, user, _ := strings.Cut(f[2], "/")
		priority, _ := strconv.Atoi(f[3])
		w.add(f[1], Owner{tenant, user}, priority, f[4:])
		return w.admit()
	case "end":
		for _, id := range f[1:] {
			w.end(id)
		}
		return w.admit()
	case "remove":
		w.queue.Remove(f[1])
		return w.admit()
	case "pass":
		d, _ := time.ParseDuration(f[1])
		w.now = w.now.Add(d)
		return w.admit()
	}
	w.t.Fatalf("unknown command %q", line)
	return ""
}

func (w *world) add(id string, o Owner, priority int, needs []string) {
	w.seq++
	x := &Flow{ID: id, Owner: o, Priority: priority, Arrived: w.seq, Since: w.now}
	slices.Sort(needs)
	for _, need := range needs {
		name, n, _ := strings.Cut(need, "*")
		slots, _ := strconv.Atoi(n)
		x.Needs = append(x.Needs, Need{w.pools[name], slots})
	}
	w.queue.Add(x)
}

// lacks prints the quotas that a flow lacks, fills or exceeds by itself.
func (w *world) lacks(f *Flow) string {
	var out []string
	say := func(how string, all []Lack) {
		for _, l := range all {
			out = append(out, fmt.Sprintf("%s %s %s: needs %d, held %d, kept %d, limit %d", how, l.Of, l.What, l.Needed, l.Held, l.Kept, l.Limit))
		}
	}
	say("lacks", w.queue.Keep(w.now, w.room()).Lacks(f))
	say("crowds", f.Crowds())
	say("exceeds", f.Exceeds())
	return strings.Join(out, "\n")
}

func (w *world) room() *Room {
	r := NewRoom(w.limit-w.started, w.limit, func() (busy []*Pool) {
		for _, name := range slices.Sorted(maps.Keys(w.pools)) {
			if w.pools[name].Live > 0 {
				busy = append(busy, w.pools[name])
			}
		}
		return busy
	})
	r.Idle = func() (idle int) {
		for _, p := range w.pools {
			idle += max(0, p.Live-p.executors(p.Used))
		}
		return idle
	}
	return r
}

// admit admits what the queue decides, and names it.
func (w *world) admit() string {
	var out []string
	for {
		result := w.queue.Admit(w.now, w.room(), 3)
		for _, f := range result.Admitted {
			w.queue.Claim(f.ID, true)
			out = append(out, f.ID)
		}
		for _, f := range result.Admitted {
			w.grant(f)
		}
		places := result.Places
		for _, c := range result.Cramped {
			places += c.Starts
		}
		if len(result.Admitted) == 0 && !w.makeRoom(places) {
			return strings.Join(out, " ")
		}
	}
}

// makeRoom stops up to n idle executors, and reports whether there was one.
func (w *world) makeRoom(n int) (done bool) {
	for _, name := range slices.Sorted(maps.Keys(w.pools)) {
		p := w.pools[name]
		for ; n > 0 && p.Live > p.executors(p.Used); n-- {
			p.Live--
			w.started--
			done = true
		}
	}
	return done
}

// grant lets an admitted flow run.
func (w *world) grant(f *Flow) {
	w.queue.Claim(f.ID, false)
	for _, n := range f.Needs {
		more := max(0, n.Pool.executors(n.Pool.Used+n.Slots)-n.Pool.Live)
		n.Pool.Live += more
		w.started += more
	}
	w.queue.Granted(f.ID, w.now, w.room())
	for _, n := range f.Needs {
		n.Pool.Used += n.Slots
		w.queue.Hold(f.Owner, n.Pool, n.Slots, w.now)
		if n.Pool.Used > n.Pool.Max*n.Pool.Slots {
			w.t.Fatalf("%d of %d slots of %s are used", n.Pool.Used, n.Pool.Max*n.Pool.Slots, n.Pool.Name)
		}
	}
	if w.started > w.limit {
		w.t.Fatalf("%d executors run, the limit is %d", w.started, w.limit)
	}
	w.running[f.ID], w.granted[f.ID] = f, w.now
	w.withinQuotas()
}

// withinQuotas fails if a tenant or user holds more than its quota.
func (w *world) withinQuotas() {
	check := func(quota Quota, of func(*Flow) Owner) {
		slots, uses := make(map[Owner]map[*Pool]int), make(map[Owner]use)
		for _, f := range w.running {
			o := of(f)
			if slots[o] == nil {
				slots[o] = make(map[*Pool]int)
			}
			u := uses[o].plus(use{flows: 1})
			for _, n := range f.Needs {
				u.add(n.Pool, slots[o][n.Pool], n.Slots)
				slots[o][n.Pool] += n.Slots
			}
			uses[o] = u
		}
		for o, u := range uses {
			if !u.within(quota) {
				w.t.Fatalf("%v holds %+v, the quota is %+v", o, u, quota)
			}
		}
	}
	check(w.ofTenant, func(f *Flow) Owner { return Owner{Tenant: f.Owner.Tenant} })
	check(w.ofUser, func(f *Flow) Owner { return f.Owner })
}

// end ends a flow. Unless they are warm, the executors that are not needed any more exit at once.
func (w *world) end(id string) {
	f := w.running[id]
	defer delete(w.granted, id)
	delete(w.running, id)
	w.queue.Live(f.Owner, -1, w.granted[id])
	for _, n := range f.Needs {
		n.Pool.Used -= n.Slots
		w.queue.Hold(f.Owner, n.Pool, -n.Slots, w.granted[id])
		if less := max(0, n.Pool.Live-n.Pool.executors(n.Pool.Used)); !w.warm {
			n.Pool.Live -= less
			w.started -= less
		}
	}
}

// Whatever comes and goes: no more is granted than there is and than quotas allow, nothing is idle while a flow fits,
// and every flow gets its turn, though flows keep arriving that would fit sooner.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.IntRange(3, 8).Draw(t, "limit"))
		if rapid.Bool().Draw(t, "quotas") {
			quota := func(most int) Quota {
				return Quota{
					Flows: rapid.IntRange(0, most).Draw(t, "flows"), Slots: rapid.IntRange(0, 2*most).Draw(t, "slots"),
					Executors: rapid.IntRange(0, most).Draw(t, "executors"),
				}
			}
			w.ofTenant, w.ofUser = quota(6), quota(3)
		}
		w.warm = rapid.Bool().Draw(t, "warm")
		names := []string{"a", "b", "c"}
		for _, name := range names {
			w.pools[name] = &Pool{Name: name, Slots: rapid.IntRange(1, 3).Draw(t, "slots"), Max: rapid.IntRange(1, 3).Draw(t, "max")}
		}
		flow := func(prefix string, n int) {
			var needs []string
			places := 0
			for _, name := range names {
				p := w.pools[name]
				if slots := rapid.IntRange(0, p.Slots*p.Max).Draw(t, "need"); slots > 0 && places+p.executors(slots) <= w.limit {
					needs = append(needs, fmt.Sprintf("%s*%d", name, slots))
					places += p.executors(slots)
				}
			}
			owner := Owner{rapid.SampledFrom([]string{"t1", "u2"}).Draw(t, "tenant"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "user")}
			id := fmt.Sprint(prefix, n)
			if w.add(id, owner, rapid.IntRange(-1, 1).Draw(t, "priority"), needs); len(w.queue.Flow(id).Exceeds()) > 0 {
				w.queue.Remove(id) // it is rejected
			}
		}
		step := func(i int) {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			ids := make([]string, 0, len(w.running))
			for id := range w.running {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			if len(ids) > 0 && rapid.IntRange(0, 2).Draw(t, "end") == 0 {
				w.end(rapid.SampledFrom(ids).Draw(t, "ends"))
			}
			flow("f", i)
			w.admit()
			w.notIdle()
		}
		for i := range 20 {
			step(i)
		}
		// All that wait now get their turn while others keep arriving.
		waiting := make(map[string]bool)
		for _, f := range w.queue.Flows() {
			waiting[f.ID] = true
		}
		greedy := Owner{rapid.SampledFrom([]string{"t1", "u2"}).Draw(t, "greedy"), "y"}
		for i := 20; len(waiting) > 0; i++ {
			if i > 2000 {
				t.Fatalf("flows wait for ever: %v", waiting)
			}
			// The longest running flow ends, so that every flow does.
			var first *Flow
			for _, f := range w.running {
				if first == nil || f.Arrived < first.Arrived {
					first = f
				}
			}
			if first != nil {
				w.end(first.ID)
			}
			w.now = w.now.Add(5 * time.Second)
			for j, name := range names { // more small flows of high priority than can run
				w.add(fmt.Sprintf("g%d-%d", i, j), greedy, 100, []string{name + "*1"})
			}
			w.admit()
			w.notIdle()
			for id := range waiting {
				if w.queue.Flow(id) == nil {
					delete(waiting, id)
				}
			}
		}
	})
}

// notIdle fails if a flow waits that fits, and nothing is kept for another.
func (w *world) notIdle() {
	room := w.room()
	reserved := w.queue.Keep(w.now, room)
	for _, f := range w.queue.Flows() {
		if room.Fits(f.Needs) && len(reserved.Lacks(f)) == 0 {
			w.t.Fatalf("%s waits though it fits", f.ID)
		}
	}
}

// Two tenants that always have flows waiting hold slots by their weights, whatever the sizes of their flows.
func TestSharesConverge(t *testing.T) {
	w := newWorld(t, 1000)
	w.pools["p"] = &Pool{Name: "p", Slots: 1, Max: 30}
	n := 0
	refill := func() {
		for tenant, size := range map[string]int{"small1": 1, "large2": 2} {
			for range 40 {
				n++
				w.add(fmt.Sprintf("%s-%d", tenant, n), Owner{Tenant: tenant}, 0, []string{fmt.Sprintf("p*%d", size)})
			}
		}
	}
	refill()
	w.admit()
	held := make(map[string]int)
	for round := range 300 {
		if len(w.queue.Flows()) < 40 {
			refill()
		}
		var first *Flow
		for _, f := range w.running {
			if first == nil || f.Arrived < first.Arrived {
				first = f
			}
		}
		w.end(first.ID)
		w.admit()
		if round < 100 {
			continue
		}
		for _, f := range w.running {
			held[f.Owner.Tenant] += f.Needs[0].Slots
		}
	}
	if ratio := float64(held["large2"]) / float64(held["small1"]); ratio < 1.7 || ratio > 2.3 {
		t.Errorf("the tenant with twice the weight holds %.2f times the slots", ratio)
	}
}

// What one tenant may not hold goes to the other, whatever its weight.
func TestSharesConvergeWithinQuotas(t *testing.T) {
	for _, quota := range []Quota{{Flows: 6}, {Slots: 12}, {Executors: 12}} {
		w := newWorld(t, 1000)
		w.pools["p"] = &Pool{Name: "p", Slots: 1, Max: 30}
		w.queue.Quotas = func(o Owner) (tenant, user Quota) {
			if o.Tenant == "large2" {
				return quota, Quota{}
			}
			return Quota{}, Quota{}
		}
		for i := range 1000 {
			w.add(fmt.Sprintf("large-%d", i), Owner{Tenant: "large2"}, 0, []string{"p*2"})
			w.add(fmt.Sprintf("small-%d", i), Owner{Tenant: "small1"}, 0, []string{"p*1"})
		}
		w.admit()
		for round := range 300 {
			var first *Flow
			held := make(map[string]int)
			for _, f := range w.running {
				if held[f.Owner.Tenant] += f.Needs[0].Slots; first == nil || f.Arrived < first.Arrived {
					first = f
				}
			}
			if held["large2"] != 12 || held["small1"] != 18 {
				t.Fatalf("%+v, round %d: the tenants hold %v", quota, round, held)
			}
			w.end(first.ID)
			w.now = w.now.Add(time.Second)
			w.admit()
		}
	}
}

// A flow that its quota keeps from running costs the others of its tenant a bounded share if it waits for one that does
// not end, whether that holds a part of the quota or a slot of another tenant's.
func TestStuckFlowsCostTheirTenantLittle(t *testing.T) {
	for _, stuck := range []string{"t", "other"} {
		w := newBusyWorld(t, &Pool{Name: "x", Slots: 4, Max: 1})
		w.ofTenant = Quota{Slots: 4}
		lasts := func(id string) time.Duration {
			if id == "stuck" {
				return 24 * time.Hour
			}
			return time.Minute
		}
		w.pools["y"] = &Pool{Name: "y", Slots: 1, Max: 1}
		w.add("stuck", Owner{Tenant: stuck}, 0, []string{"y*1"})
		w.pass(20*time.Minute, lasts)
		most := w.pools["x"].Used
		needs := []string{"x*4"}
		if stuck == "other" {
			needs = []string{"x*3", "y*1"}
		}
		w.add("large", Owner{Tenant: "t"}, 0, needs)
		unused := time.Duration(0)
		for range 3 * 6 * 60 {
			if w.pass(10*time.Second, lasts); w.pools["x"].Used < most {
				unused += 10 * time.Second
			}
		}
		if unused > 10*time.Minute {
			t.Errorf("a quota was kept unused for %v of 3 h, for a flow that waits for a stuck one of %s", unused, stuck)
		}
	}
}

// A flow that lacks places waits for executors whose jobs end, not for one whose job does not.
func TestPlacesOfStuckFlowsAreNotWaitedFor(t *testing.T) {
	w := newBusyWorld(t, &Pool{Name: "x", Slots: 1, Max: 1}, &Pool{Name: "y", Slots: 1, Max: 1})
	w.limit, w.warm = 2, true
	lasts := func(id string) time.Duration {
		if strings.HasPrefix(id, "small-x") {
			return 24 * time.Hour
		}
		return time.Minute
	}
	w.pass(time.Hour, lasts)
	w.pools["z"] = &Pool{Name: "z", Slots: 1, Max: 2}
	w.add("one", Owner{Tenant: "t"}, 0, []string{"z*1"})
	w.add("two", Owner{Tenant: "t"}, 0, []string{"z*2"})
	w.wasted = make(map[string]time.Duration)
	w.pass(3*time.Hour, lasts)
	if w.queue.Flow("one") != nil {
		t.Errorf("a flow waits for the executor of a stuck one")
	}
	if d := w.wasted["y"]; d > 20*time.Minute {
		t.Errorf("an executor was kept idle for %v of 3 h, for a flow that waits for a stuck one", d)
	}
}

// BenchmarkQuotas decides about 10,000 waiting flows that fit, but for their quotas.
func BenchmarkQuotas(b *testing.B) {
	for _, shapes := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("%d-classes", shapes), func(b *testing.B) {
			w := newWorld(b, 100_000)
			w.ofTenant, w.ofUser = Quota{Slots: 1_000_000}, Quota{Flows: 1, Slots: 3, Executors: 3}
			for i := range 100 {
				name := fmt.Sprintf("p%02d", i)
				w.pools[name] = &Pool{Name: name, Slots: 10, Max: 2000}
			}
			for i := range 10_000 {
				shape := i % shapes
				o := Owner{User: fmt.Sprint(shape % 100)}
				if i < shapes && i < 100 {
					w.queue.Live(o, 1, w.now)
				}
				w.add(fmt.Sprint(i), o, 0, []string{
					fmt.Sprintf("p%02d*%d", shape%100, 1+shape/100), fmt.Sprintf("p%02d*1", (shape+1)%100),
				})
			}
			b.ResetTimer()
			for range b.N {
				w.queue.Admit(w.now, w.room(), 64)
			}
		})
	}
}

// BenchmarkAdmit decides about 10,000 waiting flows of which none fits, and which were passed or not.
func BenchmarkAdmit(b *testing.B) {
	for _, shapes := range []int{1, 100, 10_000, -100, -10_000} {
		passed := shapes < 0
		shapes = max(shapes, -shapes)
		b.Run(fmt.Sprintf("%d-classes-passed=%t", shapes, passed), func(b *testing.B) {
			w := newWorld(b, 100_000)
			for i := range 100 {
				name := fmt.Sprintf("p%02d", i)
				w.pools[name] = &Pool{Name: name, Slots: 1, Max: 200, Used: 200, Live: 200}
				w.pools[name].hold(200, w.now.Add(-time.Hour))
			}
			for i := range 10_000 {
				shape := i % shapes
				w.add(fmt.Sprint(i), Owner{}, 0, []string{
					fmt.Sprintf("p%02d*%d", shape%100, 1+shape/100), fmt.Sprintf("p%02d*1", (shape+1)%100),
				})
				if passed {
					w.queue.Restore(fmt.Sprint(i), w.now.Add(-time.Duration(i)*time.Second))
				}
			}
			b.ResetTimer()
			for range b.N {
				w.queue.Admit(w.now, w.room(), 64)
			}
		})
	}
}

// A busyWorld is a world in which small flows of some pools always wait, and hold a slot for a while.
type busyWorld struct {
	*world
	ends map[string]time.Time
	busy []*Pool
	// small is how many small flows of each pool wait.
	small map[*Pool]int
	// wasted is for how long slots of a pool were free though small flows waited for them.
	wasted map[string]time.Duration
	n      int
}

func newBusyWorld(t rapid.TB, pools ...*Pool) *busyWorld {
	w := &busyWorld{world: newWorld(t, 100), ends: make(map[string]time.Time), busy: pools, small: make(map[*Pool]int), wasted: make(map[string]time.Duration)}
	for _, p := range pools {
		w.pools[p.Name] = p
	}
	return w
}

// pass lets time pass. lasts returns for how long a flow that is granted holds its slots.
func (w *busyWorld) pass(d time.Duration, lasts func(id string) time.Duration) {
	const step = 10 * time.Second
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(step) {
		for _, id := range slices.Sorted(maps.Keys(w.running)) {
			if !w.now.Before(w.ends[id]) {
				w.end(id)
			}
		}
		for _, p := range w.busy {
			for range p.Max*p.Slots - w.small[p] {
				w.n++
				w.add(fmt.Sprintf("small-%s-%d", p.Name, w.n), Owner{Tenant: "t"}, 1, []string{p.Name + "*1"})
				w.small[p]++
			}
		}
		for _, id := range strings.Fields(w.admit()) {
			w.ends[id] = w.now.Add(lasts(id))
			if f := w.running[id]; strings.HasPrefix(id, "small") {
				w.small[f.Needs[0].Pool]--
			}
		}
		for _, p := range w.busy {
			if p.Used < p.Max*p.Slots {
				w.wasted[p.Name] += step
			}
		}
	}
}

// Where all flows end, none waits for much longer than the longest of them runs, however many there are.
func TestLargeFlowsGetTheirTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		longest := time.Duration(rapid.IntRange(1, 120).Draw(t, "minutes")) * time.Minute
		pool := rapid.IntRange(1, 4)
		w := newBusyWorld(t, &Pool{Name: "x", Slots: pool.Draw(t, "x"), Max: 1}, &Pool{Name: "y", Slots: pool.Draw(t, "y"), Max: 2})
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		lasts := func(string) time.Duration { return time.Duration(random.Int64N(int64(longest))) }
		w.pass(longest, lasts)
		w.add("large", Owner{Tenant: "t"}, 0, []string{fmt.Sprintf("x*%d", w.pools["x"].Slots), fmt.Sprintf("y*%d", 2*w.pools["y"].Slots)})
		w.pass(6*longest+10*time.Minute, lasts)
		if w.queue.Flow("large") != nil {
			t.Errorf("the large flow still waits")
		}
	})
}

// A flow that does not end costs flows that want something else a bounded share, however many flows wait for both.
func TestStuckFlowsCostLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 3).Draw(t, "slots")
		w := newBusyWorld(t, &Pool{Name: "x", Slots: slots, Max: 1}, &Pool{Name: "y", Slots: slots, Max: 2})
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		stuckFrom := w.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "from")) * time.Minute)
		stuck := false
		lasts := func(id string) time.Duration {
			if !stuck && strings.HasPrefix(id, "small-x") && w.now.After(stuckFrom) {
				stuck = true
				return 24 * time.Hour
			}
			return time.Duration(random.Int64N(int64(2 * time.Minute)))
		}
		for i := range 12 {
			for j := range rapid.IntRange(0, 4).Draw(t, "large") {
				w.add(fmt.Sprintf("large-%d-%d", i, j), Owner{Tenant: "t"}, -i, []string{
					fmt.Sprintf("x*%d", slots), fmt.Sprintf("y*%d", rapid.IntRange(1, 2*slots).Draw(t, "needs"))})
			}
			w.pass(15*time.Minute, lasts)
		}
		w.wasted = make(map[string]time.Duration)
		w.pass(3*time.Hour, lasts)
		for name, d := range w.wasted {
			if d > 3*time.Hour/10 {
				t.Errorf("slots of %s were kept idle for %v of 3 h", name, d)
			}
		}
	})
}

package local_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/local"
)

// idleFor is how long idle tenants are measured.
const idleFor = 30 * time.Second

// BenchmarkIdleTenants measures what each idle tenant costs, NATS included. DAGYO_TENANTS is how many there are (100).
func BenchmarkIdleTenants(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("DAGYO_TENANTS"))
	if err != nil {
		n = 100
	}
	dir := b.TempDir()
	l, err := local.Start(b.Context(), config(b, dir))
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := l.Stop(b.Context(), local.Stop{}); err != nil {
			b.Error(err)
		}
	}()
	cpu, memory := idle()
	began := time.Now()
	for i := range n {
		addTenant(b, dir, fmt.Sprintf("t%d", i), tenancy.Limits{Storage: 64 << 20})
	}
	added := time.Since(began)
	b.ResetTimer()
	for range b.N {
		cpuAfter, after := idle()
		b.ReportMetric(float64(after-memory)/float64(n)/(1<<20), "MiB/tenant")
		b.ReportMetric(100*(cpuAfter-cpu)/float64(n), "%cpu/tenant")
		b.ReportMetric(added.Seconds()*1000/float64(n), "ms/add")
	}
}

// idle returns the use of the processor (1 is a core) and the memory of this process while nothing happens.
func idle() (cpu float64, memory int64) {
	time.Sleep(idleFor / 3)
	before := used()
	time.Sleep(idleFor)
	return (used() - before).Seconds() / idleFor.Seconds(), resident()
}

func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func resident() int64 {
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

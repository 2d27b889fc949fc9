//go:build docker

package docker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/backendtest"
)

// The environment of a spawner that the test kills.
const (
	envPlace = "DOCKER_TEST_PLACE" // also makes the test binary act as the spawner
	envImage = "DOCKER_TEST_IMAGE"
)

const startedAtOnce = 10

func executorOf(i int) string { return fmt.Sprintf("e-%d", i) }

// spawner is a process that starts executors and then hangs: the test kills it.
func spawner() int {
	b, err := New(context.Background(), config(os.Getenv(envPlace)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("open")
	as := &bench{Backend: b, image: os.Getenv(envImage), dial: os.Getenv(backendtest.EnvDial)}
	var starting sync.WaitGroup
	for i := range startedAtOnce {
		starting.Go(func() {
			if err := b.Start(context.Background(), as.spec(executorOf(i))); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	starting.Wait()
	<-b.Exits()
	return 0
}

// A spawner that is killed during its work leaves running executors, executors whose start was interrupted, and some
// that it did not begin to start. Its successor starts the latter, and reports how the others ended: none runs twice,
// and none is lost.
func TestSpawnerIsKilledWhileItStarts(t *testing.T) {
	b := setup(t, func(c *Config) { c.StartTimeout = 10 * time.Millisecond })
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envPlace+"="+b.place, envImage+"="+b.image, backendtest.EnvDial+"="+b.dial)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Errorf("the spawner printed %q", line)
	}
	b.awaitSomeProgram(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	b.Backend = openBackend(t, b.cfg)
	for i := range startedAtOnce {
		b.mustStart(t, b.spec(executorOf(i)))
	}
	fates := b.awaitFates(t)
	for i := range startedAtOnce {
		id := executorOf(i)
		exit, ended := fates[id]
		n := b.control.Starts(id)
		if ended && (n > 0 || !strings.Contains(exit.Reason, "never started")) || !ended && n != 1 {
			t.Errorf("%s was started %d times; its exit is %+v", id, n, exit)
		}
	}
}

// awaitSomeProgram waits until one of the programs is running.
func (b *bench) awaitSomeProgram(t *testing.T) {
	t.Helper()
	eventually(t, "a program", func() bool {
		for i := range startedAtOnce {
			if b.control.Starts(executorOf(i)) > 0 {
				return true
			}
		}
		return false
	})
}

// awaitFates waits until each executor is running or has exited, and returns the exits.
func (b *bench) awaitFates(t *testing.T) map[string]backend.Exit {
	t.Helper()
	exits := map[string]backend.Exit{}
	eventually(t, "the results of all starts", func() bool {
		select {
		case e := <-b.Exits():
			exits[e.Executor] = e
		default:
		}
		for i := range startedAtOnce {
			if _, ended := exits[executorOf(i)]; !ended && b.control.Starts(executorOf(i)) == 0 {
				return false
			}
		}
		return true
	})
	return exits
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !done(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("timed out after %s waiting for %s", patience, what)
		}
	}
}

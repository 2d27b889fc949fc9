package suite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/services/spawner/process"
)

// executorsEnd limits the time until the executors have exited.
const executorsEnd = 20 * time.Second

// endExecutors ends the executors that the spawner has started, since they outlive it.
func (s *Suite) endExecutors(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), executorsEnd)
	defer cancel()
	if err := giveUpAll(ctx, dir); err != nil {
		s.options.Tell(fmt.Sprintf("executors may be left in %s: %v", dir, err))
	}
}

func giveUpAll(ctx context.Context, dir string) (err error) {
	b, err := process.New(process.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer func() {
		if closed := b.Close(); err == nil {
			err = closed
		}
	}()
	left, err := b.List(ctx)
	if err != nil {
		return err
	}
	for _, x := range left {
		if err := b.GiveUp(ctx, x.Executor); err != nil {
			return err
		}
	}
	for range left {
		select {
		case <-b.Exits():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// executorTime is the CPU time of the running executors and their supervisors, in seconds. A supervisor has its
// executor's directory as an argument, and is the parent of the program.
func (s *Stack) executorTime() (sum float64) {
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is valid
	var supervisors []string
	for _, dir := range all {
		if args, _ := os.ReadFile(dir + "/cmdline"); bytes.Contains(args, []byte(s.dir+"/")) {
			supervisors = append(supervisors, filepath.Base(dir))
		}
	}
	for _, dir := range all {
		stat, _ := os.ReadFile(dir + "/stat") // a process that has exited meanwhile is none of ours
		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); len(fields) < 2 ||
			!slices.Contains(supervisors, fields[1]) && !slices.Contains(supervisors, filepath.Base(dir)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			used, _ := cpuTime(pid)
			sum += used
		}
	}
	return sum
}

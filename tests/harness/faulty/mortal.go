package faulty

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/executor"
)

// mortal records its start in the folder $STARTS, works for some milliseconds, and sometimes kills its whole process.
func mortal(ctx context.Context, job *executor.Job) error {
	name := filepath.Join(os.Getenv("STARTS"), job.Flow()+"."+job.Node())
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		f, err = os.Create(name + ".twice")
	}
	if err != nil {
		return err
	}
	_ = f.Close()
	select {
	case <-time.After(time.Duration(rand.IntN(20)) * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	if rand.IntN(100) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		<-ctx.Done()
	}
	return nil
}

// readsSlowly reads a record every few milliseconds.
func readsSlowly(ctx context.Context, job *executor.Job) error {
	for _, err := range in.All(ctx, job) {
		if err != nil {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// trickles sends a record every few milliseconds, a few hundred in total.
func trickles(ctx context.Context, job *executor.Job) error {
	for i := range 300 {
		if err := out.Send(ctx, job, strconv.Itoa(i)); err != nil {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

//go:build linux

package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// components are the processes of a cluster. When one exits, the group's context ends and with it all others: a test
// gets a complete cluster or none.
type components struct {
	group        *errgroup.Group
	distribution string
	patience     time.Duration
}

// start starts a component of the distribution.
func (c *components) start(ctx context.Context, name string, args ...string) error {
	return c.startProgram(ctx, filepath.Join(c.distribution, "kubernetes"), name, args...)
}

// startProgram starts a program with the given name.
func (c *components) startProgram(ctx context.Context, program, name string, args ...string) error {
	log, err := os.Create(path("log", name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, program)
	cmd.Args = append([]string{name}, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // without the machine's proxies
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.own(name+" (log/"+name+".log)", cmd.Wait)
	return nil
}

// own waits for a component that should never exit.
func (c *components) own(name string, wait func() error) {
	c.group.Go(func() error {
		err := wait()
		if err == nil {
			err = errors.New("without an error")
		}
		return fmt.Errorf("%s ended: %w", name, err)
	})
}

// await polls until the answer is yes or patience ends.
func (c *components) await(ctx context.Context, what string, ask func(context.Context) error) error {
	const pause = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; the last answer: %w", what, context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// healthy checks the health of a component that listens on this machine. Components sign their own certificates for
// that.
func healthy(url string) func(context.Context) error {
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}

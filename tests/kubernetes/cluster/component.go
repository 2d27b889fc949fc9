//go:build linux

package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// components are the programs of a cluster. One that ends takes the others with it: a test should see
// a cluster that is whole, or none.
type components struct {
	ctx          context.Context // ends when a component has ended
	starting     context.Context // ends before, when all should have started
	group        *errgroup.Group
	distribution string
}

// start starts a component of the distribution.
func (c *components) start(name string, args ...string) error {
	return c.startProgram(name, filepath.Join(c.distribution, "kubernetes"), args...)
}

// startProgram starts a program, which sees name as its own, and waits for its end meanwhile.
func (c *components) startProgram(name, program string, args ...string) error {
	log, err := os.Create(path("log", name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(c.ctx, program)
	cmd.Args = append([]string{name}, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.group.Go(func() error {
		err := cmd.Wait()
		return fmt.Errorf("%s ended, see log/%s.log: %w", name, name, ended(err))
	})
	return nil
}

func ended(err error) error {
	if err == nil {
		return fmt.Errorf("exit status 0")
	}
	return err
}

// await asks until the answer is yes, all should have started, or a component has ended.
func (c *components) await(what string, ask func(context.Context) error) error {
	const pause = 50 * time.Millisecond
	for {
		err := ask(c.starting)
		if err == nil {
			return nil
		}
		select {
		case <-c.starting.Done():
			return fmt.Errorf("wait for %s: %w; its last answer: %w", what, context.Cause(c.starting), err)
		case <-time.After(pause):
		}
	}
}

// healthy asks a component that listens on this machine how it is. Components sign their own
// certificates for that.
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

package gateway

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Many follow a flow at once, and each sees its verdict; meanwhile, others are served.
func TestManyFollowers(t *testing.T) {
	followers := 100
	if os.Getenv("DAGYO_TEST_LONG") != "" { // without the race detector, which makes everything several times slower
		followers = 1000
	}
	id := fresh("followed")
	do(t, "POST", all.own+"/v1/flows?id="+id, `{"nodes": {"g": {"progdef": "greet"}}, "inputs": {"n": "g.name"}, "outputs": {"o": "g.greeting"}}`,
		"Prefer", "wait").is(t, 202)
	ctx, stop := context.WithTimeout(t.Context(), 2*patience)
	defer stop()
	web := &http.Client{Transport: &http.Transport{MaxConnsPerHost: followers, DisableKeepAlives: true}}
	var following, ended sync.WaitGroup
	failed := make(chan error, followers)
	for range followers {
		following.Add(1)
		ended.Go(func() {
			if err := followToEnd(ctx, web, id, sync.OnceFunc(following.Done)); err != nil {
				failed <- err
			}
		})
	}
	following.Wait() // each has seen the first event
	do(t, "GET", all.own+"/v1/flows/"+id, "").is(t, 200, `"phase"`)
	do(t, "PUT", all.own+"/v1/flows/"+id+"/inputs/n?format=lines", "Ada\n").is(t, 200)
	do(t, "GET", all.own+"/v1/flows/"+id+"/outputs/o?format=lines", "").is(t, 200, "hello Ada")
	ended.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
		break // the others are the same
	}
}

// followToEnd reads the events of a flow up to its verdict. began is called after the first one, or at the end.
func followToEnd(ctx context.Context, web *http.Client, id string, began func()) error {
	defer began()
	r, err := http.NewRequestWithContext(ctx, "GET", all.own+"/v1/flows/"+id+"/events", nil)
	if err != nil {
		return err
	}
	res, err := web.Do(authorize(r))
	for err == nil && res.StatusCode == http.StatusTooManyRequests { // one user asks faster than a user may
		_ = res.Body.Close()
		select {
		case <-time.After(time.Second): // as its header Retry-After says
			res, err = web.Do(authorize(r))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	last := ""
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			began()
			last = name
		}
	}
	if last != "flow.completed" && last != "flow.cleaned" {
		return fmt.Errorf("the last of the events is %q, with status %d", last, res.StatusCode)
	}
	return nil
}

package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestWrongMetricsFlags(t *testing.T) {
	for line, want := range map[string]string{
		"validator --http 9464":     `--http is "9464": it must be an address and a port, such as 127.0.0.1:9464, or empty for none`,
		"planner --pprof":           "--pprof needs --http: the address of the profiles",
		"gateway --metrics nowhere": `--metrics is "nowhere": it must be an address and a port`,
		"gateway --pprof":           "--pprof needs --metrics: the address of the profiles",
	} {
		code, out, err := call(t, "", strings.Fields(line)...)
		if code != ExitUsage || out != "" || !strings.HasPrefix(err, "dagyo: "+want) {
			t.Errorf("dagyo %s: exit code %d, %q, %q; want %q", line, code, out, err, want)
		}
	}
}

// A service serves its pages before NATS is there, and says that it is not ready.
func TestServiceWithoutNATS(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() {
		defer write.Close()
		Run(ctx, Invocation{
			Args: []string{"validator", "--server", "nats://127.0.0.1:1", "--pprof"}, In: strings.NewReader(""), Out: io.Discard, Err: write,
			Env: func(name string) string { return map[string]string{envHTTP: "127.0.0.1:0"}[name] },
		})
	})
	defer serving.Wait()
	defer cancel()
	var line struct{ Metrics string }
	log := bufio.NewScanner(read)
	for line.Metrics == "" && log.Scan() {
		_ = json.Unmarshal(log.Bytes(), &line)
	}
	serving.Go(func() { _, _ = io.Copy(io.Discard, read) })
	defer http.DefaultClient.CloseIdleConnections()
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/metrics": {200, "go_goroutines "}, "/healthz": {200, "ok\n"}, "/readyz": {503, "the validator "},
		"/debug/pprof/goroutine?debug=1": {200, "goroutine profile"}, "/debug/pprof/cmdline": {404, ""},
	} {
		answer, err := http.Get(strings.TrimSuffix(line.Metrics, "/metrics") + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != want.code || !strings.Contains(string(body), want.text) {
			t.Errorf("%s: %d %q, %v; want %d %q", path, answer.StatusCode, body, err, want.code, want.text)
		}
	}
}

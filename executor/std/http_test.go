package std

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fetch gets a URL with a list of allowed addresses, and returns the body or the error.
func fetch(t *testing.T, allow, url string) (string, error) {
	t.Helper()
	f, err := newFetcher(allow)
	if err != nil {
		t.Fatal(err)
	}
	defer f.client.CloseIdleConnections()
	f.pause = time.Nanosecond
	body, err := f.get(t.Context(), url)
	return string(body), err
}

// http_get connects to nothing that is not public, however the URL hides it, unless the operator allows it.
func TestHTTPGetRefusesAddressesThatAreNotPublic(t *testing.T) {
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("internal"))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{
		"127.0.0.1", "localhost", "LOCALHOST", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]",
		"127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "169.254.169.254", "[fe80::1%25lo]",
		"[64:ff9b::7f00:1]", "user:pass@127.0.0.1",
	} {
		body, err := fetch(t, "", "http://"+host+":"+port+"/")
		if err == nil {
			t.Errorf("%s: %q", host, body)
		} else if strings.Contains(err.Error(), "refused, since") && !strings.Contains(err.Error(), "try 1 of 4") {
			t.Errorf("%s was tried again: %v", host, err)
		}
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
	for allow, host := range map[string]string{"127.0.0.0/8": "127.0.0.1", "localhost": "localhost", "10.0.0.0/8,127.0.0.1": "127.0.0.1"} {
		if body, err := fetch(t, allow, "http://"+host+":"+port+"/"); err != nil || body != "internal" {
			t.Errorf("%s is allowed: %q, %v", allow, body, err)
		}
	}
	for _, to := range []string{"http://169.254.169.254/latest/meta-data", "http://[::1]:" + port, "http://[::ffff:a9fe:a9fe]/"} {
		if body, err := fetch(t, "127.0.0.1", server.URL+"?to="+to); err == nil || !strings.Contains(err.Error(), "refused, since") {
			t.Errorf("a redirect to %s: %q, %v", to, body, err)
		}
	}
}

func TestHTTPGetRefusesABadList(t *testing.T) {
	if _, err := newFetcher("10.0.0.1/8"); err == nil || !strings.Contains(err.Error(), "DAGYO_HTTP_GET_ALLOW") {
		t.Error(err)
	}
}

package std

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fetch gets a URL with a list of allowed addresses, and returns the body or the error.
func fetch(t *testing.T, allow, url string) (string, error) {
	t.Helper()
	f, err := newFetcher(httpGetName, allow)
	if err != nil {
		t.Fatal(err)
	}
	defer f.client.CloseIdleConnections()
	f.pause = time.Nanosecond
	body, err := f.fetch(t.Context(), call{method: http.MethodGet, url: url})
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
	if _, err := newFetcher(httpGetName, "10.0.0.1/8"); err == nil || !strings.Contains(err.Error(), "DAGYO_HTTP_GET_ALLOW") {
		t.Error(err)
	}
}

// A POST is repeated only if the server has not acted on it, and never becomes a GET.
func TestPostIsNotRepeatedOnceTaken(t *testing.T) {
	var posts, gets atomic.Int64
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.HandleFunc("/{code}", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			gets.Add(1)
			return
		}
		posts.Add(1)
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		if code >= 300 && code < 400 {
			w.Header().Set("Location", r.URL.Query().Get("to"))
		}
		w.WriteHeader(code)
	})
	mux.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte(r.Method+" "), body...))
	})
	for _, c := range []struct {
		path, want string
		posts      int64
	}{
		{"/end", "POST b", 1},
		{"/429", "429 Too Many Requests (try 4 of 4)", 4}, {"/503", "503 Service Unavailable (try 4 of 4)", 4}, {"/425", "(try 4 of 4)", 4},
		{"/500", "(try 1 of 4)", 1}, {"/502", "(try 1 of 4)", 1}, {"/504", "(try 1 of 4)", 1}, {"/408", "(try 1 of 4)", 1}, {"/abort", "EOF (try 1 of 4)", 1},
		{"/301?to=/end", "301 Moved Permanently (try 1 of 4)", 1}, {"/302?to=/end", "(try 1 of 4)", 1}, {"/303?to=/end", "303 See Other (try 1 of 4)", 1},
		{"/307?to=/end", "POST b", 2}, {"/308?to=/end", "POST b", 2}, {"/307?to=/303%3Fto=/end", "303 See Other (try 1 of 4)", 2},
		{"/307?to=http://169.254.169.254/", "refused, since the host has a link-local address", 1},
	} {
		posts.Store(0)
		f, err := newFetcher(httpPostName, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		f.pause = time.Nanosecond
		body, err := f.fetch(t.Context(), call{method: http.MethodPost, url: server.URL + c.path, contentType: "a/b", body: []byte("b")})
		got := string(body)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || posts.Load() != c.posts {
			t.Errorf("%s: %q after %d posts; want %q after %d", c.path, got, posts.Load(), c.want, c.posts)
		}
		f.client.CloseIdleConnections()
	}
	if gets.Load() > 0 {
		t.Errorf("%d posts became GETs", gets.Load())
	}
	f, err := newFetcher(httpPostName, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.fetch(t.Context(), call{method: http.MethodPost, url: server.URL}); err == nil || !strings.Contains(err.Error(), "(try 1 of 4)") ||
		!strings.Contains(err.Error(), "refused, since the host has a loopback address") {
		t.Error(err)
	}
}

// A connection that cannot be made has taken nothing.
func TestPostIsRepeatedIfItWasNotSent(t *testing.T) {
	f, err := newFetcher(httpPostName, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	f.pause = time.Nanosecond
	_, err = f.fetch(t.Context(), call{method: http.MethodPost, url: "http://u:secret@127.0.0.1:1/"})
	if err == nil || !strings.Contains(err.Error(), "(try 4 of 4)") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

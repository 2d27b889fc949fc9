package egress

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestSpecialAddresses(t *testing.T) {
	for text, kind := range map[string]string{
		"127.0.0.1": "loopback", "127.255.255.254": "loopback", "::1": "loopback",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
		"100.64.0.1": "private", "100.100.100.200": "private", "fd00:ec2::254": "private", "fc00::1": "private",
		"fec0::1":         "private",
		"169.254.169.254": "link-local", "fe80::1": "link-local", "fe80::1%eth0": "link-local",
		"168.63.129.16": "metadata", "0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "::": "special-purpose",
		"224.0.0.1": "multicast", "ff02::1": "multicast", "255.255.255.255": "special-purpose",
		"192.0.0.192": "special-purpose", "198.18.0.1": "special-purpose", "192.0.2.1": "special-purpose",
		// An IPv4 address within an IPv6 one.
		"::ffff:127.0.0.1": "loopback", "::ffff:a9fe:a9fe": "link-local", "::127.0.0.1": "special-purpose",
		"64:ff9b::127.0.0.1": "loopback", "64:ff9b::a9fe:a9fe": "link-local", "64:ff9b:1::1": "special-purpose",
		"2002:7f00:1::": "special-purpose", "2001:0:7f00:1::": "special-purpose", "2001:db8::1": "special-purpose",
		"3fff::1": "special-purpose", "5f00::1": "special-purpose", "100::1": "special-purpose",
		// Public ones.
		"1.1.1.1": "", "172.32.0.1": "", "172.15.255.255": "", "100.128.0.1": "", "169.253.0.1": "",
		"2606:4700::1111": "", "2001:4860:4860::8888": "", "::ffff:1.1.1.1": "", "64:ff9b::1.1.1.1": "",
	} {
		err := Rules{}.Check(netip.MustParseAddr(text))
		var refused *RefusedError
		switch {
		case kind == "" && err != nil, kind != "" && !errors.As(err, &refused),
			kind != "" && !strings.Contains(refused.Kind, kind):
			t.Errorf("%s: %v, want %q", text, err, kind)
		}
	}
}

func TestAllowed(t *testing.T) {
	r, err := Parse([]string{"10.1.0.0/16", "192.168.0.7", "fd00::/8", "::ffff:172.16.0.1", "Intranet.Example.com.", "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	for text, allowed := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "192.168.0.7": true, "192.168.0.8": false, "fd00::1": true, "fc00::1": false,
		"::ffff:10.1.2.3": true, "172.16.0.1": true, "127.0.0.1": false,
	} {
		if err := r.Check(netip.MustParseAddr(text)); (err == nil) != allowed {
			t.Errorf("%s: %v", text, err)
		}
	}
	for host, allowed := range map[string]bool{
		"intranet.example.com": true, "INTRANET.example.com.": true, "x.intranet.example.com": false, "localhost": true,
		"example.com": false,
	} {
		if r.AllowsHost(host) != allowed {
			t.Errorf("%s: allowed %v", host, !allowed)
		}
	}
}

func TestParseReportsEveryEntry(t *testing.T) {
	bad := []string{
		"10.1.2.3/16", "10.0.0.0/33", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "exa mple.com", "http://example.com",
		"example.com:80", "", "fe80::1%eth0", "*.example.com", "::ffff:10.0.0.0/104",
	}
	_, err := Parse(append(bad, "example.com"))
	if err == nil {
		t.Fatal("no error")
	}
	if got := strings.Split(err.Error(), "\n"); len(got) != len(bad) {
		t.Errorf("%d errors for %d entries:\n%v", len(got), len(bad), err)
	}
}

// A resolver that knows numbers in any notation is not needed for them to be refused.
func TestLiterals(t *testing.T) {
	r, err := Parse([]string{"10.0.0.0/8", "intranet"})
	if err != nil {
		t.Fatal(err)
	}
	for host, allowed := range map[string]bool{
		"example.com": true, "1.1.1.1": true, "10.0.0.1": true, "intranet": true, "127.0.0.1": false, "2130706433": false,
		"017700000001": false, "0x7f000001": false, "127.1": false, "127.0.0.0x1": false, "127.0.0.1.": false, "0x": false,
		"::ffff:127.0.0.1": false, "099999999999999999999999": false, "127.0.0.08": false,
	} {
		if err := r.CheckLiteral(host); (err == nil) != allowed {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// The address that is really used decides: that of a name, of a redirect, and of a name that resolves differently the
// second time.
func TestDialing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	get := func(r Rules, url string) error {
		transport := &http.Transport{DialContext: r.DialContext(net.Dialer{})}
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Client{Transport: transport}).Do(request)
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	}
	refused := func(what string, err error) {
		t.Helper()
		var e *RefusedError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("an address", get(Rules{}, server.URL))
	refused("a name", get(Rules{}, "http://localhost:"+port))
	refused("a mapped address", get(Rules{}, "http://[::ffff:127.0.0.1]:"+port))
	refused("the unspecified address", get(Rules{}, "http://0.0.0.0:"+port))
	for _, notation := range []string{"2130706433", "0177.0.0.1", "0x7f.1"} { // some resolvers know them
		if err := get(Rules{}, "http://"+notation+":"+port); err == nil {
			t.Errorf("%s is connected to", notation)
		}
	}
	byName, err := Parse([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if err := get(byName, "http://localhost:"+port); err != nil {
		t.Errorf("an allowed name: %v", err)
	}
	refused("another name of an allowed host", get(byName, server.URL))
	loopback, err := Parse([]string{"127.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	if err := get(loopback, server.URL); err != nil {
		t.Errorf("an allowed address: %v", err)
	}
	refused("a redirect to the metadata", get(loopback, server.URL+"?to=http://169.254.169.254/latest/meta-data"))
	refused("a redirect of an allowed name", get(byName, "http://localhost:"+port+"?to="+server.URL))
}

// Package egress decides which addresses a program may connect to on behalf of users: public ones, and those that the
// operator allows. It decides at connect time, on the address that is really used, so redirects and names that resolve
// differently the second time are covered.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/dagyo/dagyo/pkg/document"
)

// Rules are the addresses and hosts that are allowed although they are not public. The zero value allows none.
type Rules struct {
	prefixes []netip.Prefix
	hosts    map[string]bool
}

// Parse reads a list of addresses, networks in CIDR notation, and host names. It reports every malformed entry.
func Parse(entries []string) (Rules, error) {
	r := Rules{hosts: make(map[string]bool)}
	var errs []error
	for _, entry := range entries {
		prefix, host, err := parse(entry)
		switch {
		case err != nil:
			errs = append(errs, err)
		case host != "":
			r.hosts[host] = true
		default:
			r.prefixes = append(r.prefixes, prefix)
		}
	}
	return r, errors.Join(errs...)
}

// parse reads one entry: a network or a host.
func parse(entry string) (netip.Prefix, string, error) {
	prefix, err := netip.ParsePrefix(entry)
	if err == nil && prefix.Masked() != prefix {
		return prefix, "", fmt.Errorf("%s has bits beyond its prefix: write %s", document.Quote(entry), prefix.Masked())
	}
	if err == nil && !prefix.Addr().Is4In6() {
		return prefix, "", nil
	}
	if a, err := netip.ParseAddr(entry); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), "", nil
	}
	if host := canonicalHost(entry); validHost(host) {
		return netip.Prefix{}, host, nil
	}
	return netip.Prefix{}, "", fmt.Errorf(
		"%s is neither an address, a network such as 10.1.0.0/16, nor a host name", document.Quote(entry))
}

func canonicalHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// validHost reports whether a host is a name that no resolver takes for an address.
func validHost(host string) bool {
	if host == "" || len(host) > 253 || EndsInNumber(host) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' }
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, odd) {
			return false
		}
	}
	return true
}

// EndsInNumber reports whether the last label of a host is a number, also in octal or hexadecimal: some resolvers take
// such a host for an IPv4 address, such as 2130706433 and 0x7f.1 for 127.0.0.1.
func EndsInNumber(host string) bool {
	host = canonicalHost(host)
	last := host[strings.LastIndexByte(host, '.')+1:]
	digits, hexadecimal := strings.CutPrefix(last, "0x")
	if hexadecimal {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// A RefusedError reports an address that is not public and not allowed.
type RefusedError struct {
	// Kind describes the address: "a loopback address".
	Kind string
}

func (e *RefusedError) Error() string {
	return "the connection is refused, since the host has " + e.Kind +
		"; the operator can allow it (httpGet.allow in the policy)"
}

// Check returns a *RefusedError if the address is neither public nor allowed.
func (r Rules) Check(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	kind := special(a)
	if kind == "" {
		return nil
	}
	if r.lists(a) {
		return nil
	}
	return &RefusedError{kind}
}

// lists reports whether the rules name an address.
func (r Rules) lists(a netip.Addr) bool {
	return slices.ContainsFunc(r.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Literal reports whether a host is an address.
func Literal(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// AllowsHost reports whether a host is allowed by its name, whatever its address.
func (r Rules) AllowsHost(host string) bool { return r.hosts[canonicalHost(host)] }

// CheckLiteral checks a host that is an address, in any notation, or is allowed by its name. It returns nil for other
// names, which only the resolver knows.
func (r Rules) CheckLiteral(host string) error {
	if r.AllowsHost(host) {
		return nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return r.Check(a)
	}
	if EndsInNumber(host) {
		return &RefusedError{"an address in an unusual notation"}
	}
	return nil
}

// DialContext returns a function that connects as d does, but only to addresses that r allows.
func (r Rules) DialContext(d net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return r.dialer(d, r.Check)
}

// dialer returns a function that connects as d does, to hosts that are allowed by their names and to addresses that pass
// a check.
func (r Rules) dialer(d net.Dialer, check func(netip.Addr) error) func(ctx context.Context, network, address string) (net.Conn, error) {
	guarded := d
	guarded.Control = func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("cannot check the address %s: %w", address, err)
		}
		return check(at.Addr())
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(address); err == nil && r.AllowsHost(host) {
			return d.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	}
}

// DialListed is DialContext for addresses and hosts that are listed only: not even public ones are allowed otherwise.
func (r Rules) DialListed(d net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return r.dialer(d, func(a netip.Addr) error {
		if a = a.WithZone("").Unmap(); r.lists(a) {
			return nil
		}
		if kind := special(a); kind != "" {
			return &RefusedError{kind}
		}
		return &RefusedError{"a public address"}
	})
}

package egress

import "net/netip"

// A class is a range of addresses that are not public.
type class struct {
	prefix netip.Prefix
	kind   string
}

// The registries of special-purpose addresses (RFC 6890), and what clouds use for their metadata.
var (
	special4 = classes(map[string][]string{
		"a loopback address":     {"127.0.0.0/8"},
		"a private address":      {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"},
		"a link-local address":   {"169.254.0.0/16"},
		"a metadata address":     {"168.63.129.16/32"},
		"a multicast address":    {"224.0.0.0/4"},
		"an unspecified address": {"0.0.0.0/8"},
		"a special-purpose address": {
			"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
			"240.0.0.0/4",
		},
	})
	special6 = classes(map[string][]string{
		"a loopback address":   {"::1/128"},
		"a private address":    {"fc00::/7", "fec0::/10"},
		"a link-local address": {"fe80::/10"},
		"a multicast address":  {"ff00::/8"},
		// Teredo, ORCHID, documentation and 6to4, which contains an IPv4 address.
		"a special-purpose address": {"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"},
	})
	// public6 is the only range of IPv6 with public addresses; nat64 maps all of IPv4.
	public6 = netip.MustParsePrefix("2000::/3")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
)

func classes(of map[string][]string) (out []class) {
	for kind, prefixes := range of {
		for _, p := range prefixes {
			out = append(out, class{netip.MustParsePrefix(p), kind})
		}
	}
	return out
}

// special describes an address that is not public, or returns "". An IPv4 address must not be mapped to IPv6.
func special(a netip.Addr) string {
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	all := special6
	if a.Is4() {
		all = special4
	}
	for _, c := range all {
		if c.prefix.Contains(a) {
			return c.kind
		}
	}
	if a.Is4() || public6.Contains(a) {
		return ""
	}
	return "a special-purpose address"
}

package contexts

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/dagyo/dagyo/pkg/broker"
)

// withUser adds what a context has beside its URLs to each URL that names no user.
func withUser(urls, user, password, token string) (string, error) {
	if user == "" && token == "" {
		return urls, nil
	}
	as := url.User(token)
	if user != "" {
		as = url.UserPassword(user, password)
	}
	var out []string
	for one := range strings.SplitSeq(urls, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil {
			return "", fmt.Errorf("%q is not a URL", broker.Redact(one))
		}
		if u.User == nil {
			u.User = as
		}
		out = append(out, u.String())
	}
	return strings.Join(out, ","), nil
}

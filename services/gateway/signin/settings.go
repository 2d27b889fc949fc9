package signin

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Settings are a checked document (schemas/sign-in.json). They are never changed.
type Settings struct {
	Issuer     string            `json:"issuer"`
	Client     string            `json:"client"`
	SecretFile string            `json:"secretFile"`
	Label      string            `json:"label"`
	URL        string            `json:"url"`
	Scopes     []string          `json:"scopes"`
	UserInfo   bool              `json:"userinfo"`
	Name       Claim             `json:"name"`
	Session    document.Duration `json:"session"`
	Tokens     document.Duration `json:"tokens"`
	Rules      []Rule            `json:"rules"`
}

// A Claim is the name of a claim, or the names that lead to it in nested claims.
type Claim []string

// UnmarshalJSON reads a text or a list of texts.
func (c *Claim) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*c = Claim{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(c))
}

// A Rule gives persons with a value in a claim a role in a tenant.
type Rule struct {
	Claim  Claim       `json:"claim"`
	Value  string      `json:"value"`
	Tenant string      `json:"tenant"`
	Role   access.Role `json:"role"`
}

// Limits of the settings.
const (
	shortestSession = time.Minute
	longestSession  = 7 * 24 * time.Hour
	defaultSession  = 8 * time.Hour
	defaultTenant   = "default"
	// redirectPath is the console's page to which the provider sends browsers back.
	redirectPath = "/sign-in"
)

// Check reads a document. It returns either the settings or every problem at once.
func Check(raw []byte) (*Settings, problem.List) {
	var report document.Report
	document.CheckInto(&report, "sign-in", raw, document.DefaultLimits())
	if list := report.List(); len(list) > 0 {
		return nil, list
	}
	s := &Settings{
		Scopes: []string{"profile", "email"}, Session: document.Duration(defaultSession), Tokens: document.Duration(access.MaxSignIn),
	}
	if err := json.Unmarshal(raw, s); err != nil { // a duration that is too long, for example
		report.Add(problem.BadValue, err.Error(), "")
		return nil, report.List()
	}
	s.check(&report)
	if list := report.List(); len(list) > 0 {
		return nil, list
	}
	for i := range s.Rules {
		if s.Rules[i].Tenant == "" {
			s.Rules[i].Tenant = defaultTenant
		}
	}
	return s, nil
}

func (s *Settings) check(r *document.Report) {
	if why := badURL(s.Issuer); why != "" {
		r.Add(problem.BadValue, "issuer "+why, "", "issuer")
	}
	if why := badURL(s.URL); why != "" {
		r.Add(problem.BadValue, "url "+why, "", "url")
	} else if u, err := url.Parse(s.URL); err != nil || u.Path != "" || u.RawQuery != "" {
		r.Add(problem.BadValue, "url must end with the host or port", "the console is at /", "url")
	}
	if d := s.Session.D(); d < shortestSession || d > longestSession {
		r.Add(problem.BadDuration, fmt.Sprintf("session is %v: it must be between %v and %v", d, shortestSession, longestSession), "", "session")
	}
	if d := s.Tokens.D(); d < 0 || d > access.MaxSignIn {
		r.Add(problem.BadDuration, fmt.Sprintf("tokens is %v: it must be at most %v", d, access.MaxSignIn), "", "tokens")
	}
	seen := make(map[string]int)
	for i, rule := range s.Rules {
		key := fmt.Sprintf("%q %q", rule.Claim, rule.Value)
		if first, twice := seen[key]; twice {
			r.Add(problem.BadValue, fmt.Sprintf("rule %d is for the same persons, and the first rule counts", first), "", "rules", strconv.Itoa(i))
			continue
		}
		seen[key] = i
	}
}

// badURL returns what is wrong with an address that secrets are sent to, or that proves who somebody is.
func badURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return "is not a URL such as https://host"
	case u.Scheme == "https":
		return ""
	case u.Scheme != "http":
		return "must begin with https://"
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return ""
	}
	return "must begin with https://: only on the loopback interface http will do"
}

// Within returns the settings with their relative path resolved to a folder.
func (s *Settings) Within(dir string) *Settings {
	out := *s
	if out.SecretFile != "" && !filepath.IsAbs(out.SecretFile) {
		out.SecretFile = filepath.Join(dir, out.SecretFile)
	}
	return &out
}

// Redirect is the address to which the provider sends browsers back.
func (s *Settings) Redirect() string { return s.URL + redirectPath }

// Title is what the provider is called.
func (s *Settings) Title() string {
	if s.Label != "" {
		return s.Label
	}
	u, err := url.Parse(s.Issuer)
	if err != nil {
		return s.Issuer
	}
	return u.Host
}

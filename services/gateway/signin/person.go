package signin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/access"
)

// A Person is somebody who signs in, as Dagyo knows them.
type Person struct {
	Name   string
	Tenant string
	Role   access.Role
}

// A RefusedError says why somebody may not sign in, and what to do.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// Person decides who somebody with these claims is.
func (s *Settings) Person(claims map[string]any) (p Person, err error) {
	names := s.Name.values(claims)
	if len(names) != 1 || names[0] == "" {
		return p, refuse("the provider does not say your %s, which is to be your name: the operator of Dagyo must ask it for "+
			"another scope, set `userinfo`, or choose another claim%s", s.Name, s.Name.unverified(claims))
	}
	p.Name = nameOf(names[0])
	for _, r := range s.Rules {
		if slices.Contains(r.Claim.values(claims), r.Value) {
			p.Tenant, p.Role = r.Tenant, r.Role
			return p, nil
		}
	}
	return p, refuse("you are %s, and no rule gives you a role: the operator of Dagyo must add one for what the provider says of you in %s",
		p.Name, s.considered())
}

// considered names the claims that rules look at.
func (s *Settings) considered() string {
	var out []string
	for _, r := range s.Rules {
		if name := r.Claim.String(); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

func (c Claim) String() string { return strings.Join(c, "/") }

// values returns the texts of a claim: one, or those of a list. An e-mail address that the provider has not verified is
// none: anybody could have it.
func (c Claim) values(claims map[string]any) []string {
	var part any = claims
	for _, name := range c {
		object, ok := part.(map[string]any)
		if !ok {
			return nil
		}
		part = object[name]
	}
	if c.isEmail() && !verified(claims) {
		return nil
	}
	switch x := part.(type) {
	case string:
		return []string{x}
	case []any:
		var out []string
		for _, one := range x {
			if text, ok := one.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}

func (c Claim) isEmail() bool { return len(c) == 1 && c[0] == "email" }

// verified reports whether the provider has verified the e-mail address. Some write a text.
func verified(claims map[string]any) bool {
	return claims["email_verified"] == true || claims["email_verified"] == "true"
}

// unverified explains why an e-mail address is not used.
func (c Claim) unverified(claims map[string]any) string {
	if _, ok := claims["email"]; ok && c.isEmail() && !verified(claims) {
		return " (it has not verified your e-mail address)"
	}
	return ""
}

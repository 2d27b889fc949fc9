package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dagyo/dagyo/pkg/access"
)

const (
	// codeTime is how long a code for signing in is valid, mostCodes how many are valid at a time.
	codeTime  = 2 * time.Minute
	mostCodes = 16
)

var (
	errNotOwn = errors.New("codes are for the user of `dagyo up` only: sign in with a credentials file")
	errNoCode = errors.New("the code was used before, or is too old: `dagyo console` makes another one")
)

// codes let a browser sign in as the gateway's own user, without the token in a URL: the command line of a browser can be
// read by other users. Each is valid once.
type codes struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// issue returns a new code. If there are too many, the oldest one becomes invalid.
func (c *codes) issue(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.until) >= mostCodes {
		byAge := func(a, b string) int { return c.until[a].Compare(c.until[b]) }
		delete(c.until, slices.MinFunc(slices.Collect(maps.Keys(c.until)), byAge))
	}
	if c.until == nil {
		c.until = make(map[string]time.Time)
	}
	code := rand.Text()
	c.until[code] = now.Add(codeTime)
	return code
}

// redeem reports whether a code is valid, and makes it invalid.
func (c *codes) redeem(code string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.until[code]
	delete(c.until, code)
	return ok && now.Before(until)
}

// A Code lets a browser sign in.
type Code struct {
	Code string `json:"code" doc:"valid once, for two minutes"`
}

// A Token authorizes requests.
type Token struct {
	Token string `json:"token" doc:"the bearer token of further requests"`
}

// A Session says who makes the requests.
type Session struct {
	User    string      `json:"user"`
	Role    access.Role `json:"role,omitempty"`
	Expires time.Time   `json:"expires,omitzero" doc:"when the credentials become invalid"`
	// Own is true for the user of `dagyo up`.
	Own bool `json:"own,omitempty" doc:"the user of dagyo up"`
	// SignedIn is true for a session with a provider, Token the name of a personal token.
	SignedIn bool   `json:"signedIn,omitempty" doc:"a session of somebody who has signed in with a provider"`
	Token    string `json:"token,omitempty" doc:"the name of the personal token"`
}

func (g *Gateway) registerSessions(api huma.API) {
	tag := []string{"session"}
	huma.Register(api, huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: "/v1/session", Tags: tag, Summary: "Get whom the credentials are for",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body Session }, error) {
		s := sessionOf(ctx)
		return &struct{ Body Session }{Session{
			User: s.holder.Name, Role: s.holder.Role, Expires: s.holder.Expires, Own: s.own,
			SignedIn: strings.HasPrefix(s.holder.Name, access.SignInPrefix) && s.holder.Token == "", Token: s.holder.Token,
		}}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "create-code", Method: http.MethodPost, Path: "/v1/session/codes", Tags: tag, Summary: "Make a code with which a browser signs in",
		Description: "For the user of `dagyo up` only; `dagyo console` does it.",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body Code }, error) {
		if !sessionOf(ctx).own {
			return nil, answer(usage(errNotOwn))
		}
		return &struct{ Body Code }{Code{g.codes.issue(time.Now())}}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "redeem-code", Method: http.MethodPost, Path: "/v1/session", Tags: tag, Summary: "Get the token for a code",
		Security: []map[string][]string{}, // it needs none
	}, func(_ context.Context, in *struct{ Body Code }) (*struct{ Body Token }, error) {
		if !g.codes.redeem(in.Body.Code, time.Now()) {
			return nil, fail(http.StatusForbidden, errNoCode.Error())
		}
		return &struct{ Body Token }{Token{g.config.Token}}, nil
	})
}

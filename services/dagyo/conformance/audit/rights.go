package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// Rights are those of one executor. They may be used concurrently.
type Rights struct {
	token   string   // of its credentials
	inbox   string   // the prefix of the subjects on which it gets answers
	credits []string // the subjects on which readers may publish

	mu  sync.Mutex
	own map[int]bool // its connections
}

// NewRights returns the rights of an executor whose credentials have a token.
func NewRights(executor, token string) *Rights {
	credits, _ := access.Permissions(access.User)
	return &Rights{
		token: token, inbox: access.InboxPrefix(access.Executor, executor) + ".", credits: credits, own: make(map[int]bool),
	}
}

// Check returns an error about a message that shows that the executor has gone beyond its rights, or that what it asks
// for cannot be answered.
func (r *Rights) Check(m tap.Message) error {
	own, known := r.connection(m)
	switch {
	case !own && known:
		// Another program whose server had the tap's port before. The server refuses it.
	case m.Op == tap.Connect && !own:
		return fmt.Errorf("it connected without its credentials, which are in the file that %s names", contract.EnvCreds)
	case m.Op == tap.Err && own:
		return r.refusal(string(m.Data))
	case m.Op == tap.Pub && own:
		return r.reply(m)
	}
	return nil
}

// connection reports whether a message is of a connection of the executor, and whether there is such a connection.
func (r *Rights) connection(m tap.Message) (own, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Op == tap.Connect && tokenIn(m.Data) == r.token {
		r.own[m.Conn] = true
	}
	return r.own[m.Conn], len(r.own) > 0
}

// tokenIn returns the token in the options of a CONNECT, "" if there is none.
func tokenIn(options []byte) string {
	var o struct {
		JWT string `json:"jwt"`
	}
	_ = json.Unmarshal(options, &o) // the server refuses what is not JSON
	return o.JWT
}

// refusal explains an error of the server that is about rights.
func (r *Rights) refusal(text string) error {
	if strings.HasPrefix(text, "Authorization Violation") {
		return errors.New("the server refused its credentials")
	}
	if to, ok := strings.CutPrefix(text, "Permissions Violation for Publish to "); ok {
		err := fmt.Errorf("the server refused what it published on %s: executors have no right to that", to)
		if strings.HasPrefix(to, `"`+access.API) {
			err = fmt.Errorf("%w; with credentials, calls begin with %s", err, access.BridgedAPI)
		}
		return err
	}
	if to, ok := strings.CutPrefix(text, "Permissions Violation for Subscription to "); ok {
		err := fmt.Errorf("the server refused its subscription to %s: executors have no right to that", to)
		if strings.HasPrefix(to, `"_INBOX.`) {
			err = fmt.Errorf("%w; its answers arrive on subjects that begin with %s", err, r.inbox)
		}
		return err
	}
	return nil
}

// reply checks that an answer can arrive.
func (r *Rights) reply(m tap.Message) error {
	switch {
	case m.Reply == "":
		return nil
	case !strings.HasPrefix(m.Reply, r.inbox):
		return fmt.Errorf("it asked for an answer to %s on %s: its answers arrive on subjects that begin with %s",
			m.Subject, m.Reply, r.inbox)
	case strings.HasPrefix(m.Subject, "direct.") && !r.canCredit(m.Reply):
		return fmt.Errorf("readers have no right to publish credits on %s, the reply subject of a frame on %s: "+
			"it must be %s<token>.credit", m.Reply, m.Subject, r.inbox)
	}
	return nil
}

func (r *Rights) canCredit(subject string) bool {
	return slices.ContainsFunc(r.credits, func(pattern string) bool { return tap.Matches(pattern, subject) })
}

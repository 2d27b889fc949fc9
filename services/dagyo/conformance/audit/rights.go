package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// Rights are those of one executor. They judge each message by itself, so concurrent use is safe.
type Rights struct {
	inbox   string   // the prefix of the subjects on which it gets answers
	credits []string // the subjects on which readers may publish
}

// NewRights returns the rights of an executor.
func NewRights(executor string) Rights {
	credits, _ := access.Permissions(access.User)
	return Rights{inbox: access.InboxPrefix(access.Executor, executor) + ".", credits: credits}
}

// Check returns an error about a message that shows that the executor has gone beyond its rights, or that what it asks
// for cannot be answered.
func (r Rights) Check(m tap.Message) error {
	switch m.Op {
	case tap.Connect:
		return hasCredentials(m.Data)
	case tap.Err:
		return r.refusal(string(m.Data))
	case tap.Pub:
		return r.reply(m)
	}
	return nil
}

func hasCredentials(options []byte) error {
	var o struct {
		JWT string `json:"jwt"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return fmt.Errorf("the options of its CONNECT cannot be read: %w", err)
	}
	if o.JWT == "" {
		return fmt.Errorf("it connected without its credentials, which are in the file that %s names", contract.EnvCreds)
	}
	return nil
}

// refusal explains an error of the server that is about rights.
func (r Rights) refusal(text string) error {
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
func (r Rights) reply(m tap.Message) error {
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

func (r Rights) canCredit(subject string) bool {
	return slices.ContainsFunc(r.credits, func(pattern string) bool { return tap.Matches(pattern, subject) })
}

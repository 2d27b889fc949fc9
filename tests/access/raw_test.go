package access

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/dagyo/dagyo/pkg/access"
)

// A prober speaks the protocol of NATS by itself: it sees each refusal right behind what was refused.
type prober struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	sid  int
}

func (x *installation) probe(r access.Role, name, mailbox string) *prober {
	x.t.Helper()
	creds := must(access.Issue(must(x.secrets[r].Signer(tenantID)), access.Credential{
		Role: r, Name: name, Account: x.tenant.Accounts[r.Account()], Mailbox: mailbox,
	}))
	conn := must(net.Dial("tcp", must(url.Parse(x.ns.ClientURL())).Host))
	check(conn.SetDeadline(time.Now().Add(5 * time.Minute)))
	p := &prober{t: x.t, conn: conn, in: bufio.NewReader(conn)}
	x.t.Cleanup(func() { _ = conn.Close() })
	var info struct {
		Nonce string `json:"nonce"`
	}
	check(json.Unmarshal([]byte(strings.TrimPrefix(p.line(), "INFO ")), &info))
	key := must(jwt.ParseDecoratedUserNKey(creds))
	connect := must(json.Marshal(map[string]any{
		"jwt": must(jwt.ParseDecoratedJWT(creds)), "sig": base64.RawURLEncoding.EncodeToString(must(key.Sign([]byte(info.Nonce)))),
		"verbose": false, "pedantic": false, "lang": "probe", "version": "1", "protocol": 1, "headers": true, "no_responders": true,
	}))
	if refused := p.send("CONNECT %s", connect); refused != "" {
		x.t.Fatalf("%s cannot connect: %s", r, refused)
	}
	return p
}

func (p *prober) line() string {
	s := must(p.in.ReadString('\n'))
	return strings.TrimSuffix(s, "\r\n")
}

// send sends commands, and returns the first error that the server reports of them.
func (p *prober) send(format string, args ...any) (refused string) {
	_ = must(fmt.Fprintf(p.conn, format+"\r\nPING\r\n", args...))
	for {
		switch line := p.line(); {
		case line == "PONG":
			return refused
		case strings.HasPrefix(line, "-ERR"):
			if refused == "" {
				refused = line
			}
		}
	}
}

// may reports whether the server lets the party publish on a subject, or subscribe to it.
func (p *prober) may(verb, subject string) bool {
	var refused string
	if verb == "pub" {
		refused = p.send("PUB %s 0\r\n", subject)
	} else {
		p.sid++
		refused = p.send("SUB %s %d\r\nUNSUB %d", subject, p.sid, p.sid)
	}
	if refused != "" && !strings.Contains(refused, "Permissions Violation") {
		p.t.Fatalf("%s %s: %s", verb, subject, refused)
	}
	return refused == ""
}

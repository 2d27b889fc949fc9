package access

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
)

var update = flag.Bool("update", false, "write testdata/matrix.txt")

// streams are all streams of a tenant, in either account.
var streams = []string{
	contract.StreamEvents, contract.StreamJobs, contract.StreamLeases, contract.StreamHistory, contract.StreamSnapshots, contract.StreamLogs,
	"KV_" + contract.BucketProgdefs, "KV_" + contract.BucketTypes, "OBJ_" + contract.BucketData, contract.EdgeStream("0"),
}

// calls are all requests of the JetStream API, of the server's own sources; S stands for a stream, C for a consumer.
var calls = []string{
	"INFO", "ACCOUNT.PURGE.x", "STREAM.NAMES", "STREAM.LIST", "META.LEADER.STEPDOWN", "SERVER.REMOVE",
	"STREAM.CREATE.S", "STREAM.UPDATE.S", "STREAM.INFO.S", "STREAM.DELETE.S", "STREAM.PURGE.S", "STREAM.SNAPSHOT.S", "STREAM.RESTORE.S",
	"STREAM.MSG.GET.S", "STREAM.MSG.DELETE.S", "STREAM.PEER.REMOVE.S", "STREAM.LEADER.STEPDOWN.S",
	"DIRECT.GET.S", "DIRECT.GET.S.flow.submit", "DIRECT.GET.S.job.started.f.j.by.p-r1.bob", "DIRECT.GET.S.edges.0.f.frame.1.1",
	"DIRECT.GET.S.edges.*.>", "DIRECT.GET.S.lease.validator", "DIRECT.GET.S.>",
	"CONSUMER.CREATE.S", "CONSUMER.CREATE.S.C", "CONSUMER.CREATE.S.C.flow.submit", "CONSUMER.DURABLE.CREATE.S.C", "CONSUMER.NAMES.S",
	"CONSUMER.LIST.S", "CONSUMER.INFO.S.C", "CONSUMER.DELETE.S.C", "CONSUMER.PAUSE.S.C", "CONSUMER.RESET.S.C", "CONSUMER.UNPIN.S.C",
	"CONSUMER.LEADER.STEPDOWN.S.C", "CONSUMER.MSG.NEXT.S.C",
}

// consumers are a mailbox of the executor that tries, one of another revision, and a consumer of anybody.
var consumers = []string{"greet-0123", "greet-4567"}

// subjects are what the matrix tries.
func subjects() (out []string) {
	for _, e := range contract.Table {
		s := strings.ReplaceAll(e.Pattern(), "*", "x")
		if e.Of == contract.OfExecutor {
			s = string(e.Type) + ".greet.ada"
			out = append(out, string(e.Type)+".greet.bob.by.ada", string(e.Type)+".greet.ada.by.ada")
		}
		if e.Type == contract.TypeJobStarted {
			for _, sender := range []string{"greet-0123.ada", "greet-4567.ada", "greet-0123.bob"} {
				out = append(out, s+".by."+sender)
			}
		}
		out = append(out, s, "events."+s, s+".by.ada", s+".by.bob", s+".operator.ada", s+".operator.bob")
	}
	for _, s := range []string{"flow.get", "flow.list", "flow.validate", "flow.keys", "job.executor", "catalog.list", "executors", "anything"} {
		out = append(out, "ask."+s, "ask."+s+".by.ada", "ask."+s+".by.bob")
	}
	for _, s := range contract.Services() {
		out = append(out, contract.LeaseSubject(s), "snapshot."+s+".1", "snapshot."+s+".1.2", "$SRV.PING.dagyo-"+s)
	}
	for _, s := range []string{"edges.0.f.frame.1.1", "edges.0.f.credit.1"} {
		out = append(out, s, s+".by.ada", s+".by.bob", s+".by.-", s+".by.*")
	}
	out = append(out,
		contract.SecretSubject("spawner"), contract.SecretSubject(contract.SecretOfEdges),
		contract.NameSubject("ada"), contract.NameSubject("bob"), contract.SubjectHistory, "jobs.greet.0123.f.j",
		"edges.0.f.stop", "edges.0.f.last-stop", "stop.f", "direct.f.1.token",
		"log.f.j", "log.f.j.by.ada", "log.f.j.by.bob", "log.*.*.by.*", "log.>", "health.f.j", "health.f.j.by.ada", "health.f.j.by.bob", "client.f.c", "client.f.c.by.ada", "client.f.c.by.bob", "release.f", "release.f.by.ada", "release.f.by.bob", "deadletter.7", "$SRV.PING", "$SRV.INFO.x", "$SRV.STATS.x",
		"$KV.progdefs.greet", "$KV.types.greet", "$O.data.C.x", "$O.data.M.x",
		"$JS.ACK.JOBS.greet-0123.1.1.1.1.1", "$JS.ACK.JOBS.greet-4567.1.1.1.1.1", "$JS.ACK._.hash.JOBS.greet-0123.1.1.1.1.1.1",
		"$JS.ACK._.hash.JOBS.greet-4567.1.1.1.1.1.1", "$JS.ACK.JOBS.greet-4567.JOBS.greet-0123.1.2.3", "$JS.ACK.JOBS.greet-4567.JOBS.greet-0123.1.2.3.4.5.6", "$JS.ACK.EVENTS.C.1.1.1.1.1", "$JS.EVENT.ADVISORY.x", "$JS.FC.EVENTS.C.x",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.ACCOUNT.x.CONNECT",
		"_INBOX.x.1", "_INBOX.person.ada.1", "_INBOX.person.bob.1", "_INBOX.executor.ada.1", "_INBOX.executor.bob.1",
		"_INBOX.service.validator.1", "_R_.x.y",
		"x", ">", "*", "*.*", "flow.>", "flow.*.*", "edges.>", "edges.*.*.>", "direct.>", "direct.*.*.*", "_INBOX.>", "_INBOX.*.*.>",
		"health.>", "$JS.>", "$JS.API.>", "$KV.>", "$O.>", "$SYS.>", "events.>",
	)
	for _, c := range calls {
		for _, s := range streams {
			for _, consumer := range consumers {
				tokens := strings.Split(c, ".")
				for i, token := range tokens {
					switch token {
					case "S":
						tokens[i] = s
					case "C":
						tokens[i] = consumer
					}
				}
				out = append(out, access.API+strings.Join(tokens, "."), access.BridgedAPI+strings.Join(tokens, "."))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestMatrix tries every subject and every call of JetStream as each role in each account on a real server. What is
// allowed stands in testdata/matrix.txt, to be read by people; whatever does not stand there is refused.
func TestMatrix(t *testing.T) {
	x := install(t)
	all := subjects()
	allowed := make(map[string][]string) // by verb and subject
	cells := 0
	for _, r := range access.Roles() {
		name := "ada"
		if slices.Contains(access.Services(), r) {
			name = string(r)
		}
		p := x.probe(r, name, "greet-0123")
		for _, s := range all {
			for _, verb := range []string{"pub", "sub"} {
				if verb == "pub" && strings.ContainsAny(s, "*>") && !strings.Contains(s, "API.DIRECT") {
					continue // publishing on wildcards means nothing
				}
				cells++
				if p.may(verb, s) {
					row := fmt.Sprintf("%s %s %s", r.Account(), verb, s)
					allowed[row] = append(allowed[row], string(r))
				}
			}
		}
	}
	var rows []string
	for row, roles := range allowed {
		rows = append(rows, row+": "+strings.Join(roles, " "))
	}
	slices.Sort(rows)
	got := fmt.Sprintf("# what is allowed of %d cells: account, verb, subject, roles; written by: go test ./tests/access -update\n%s\n", cells, strings.Join(rows, "\n"))
	const file = "testdata/matrix.txt"
	if *update {
		check(os.WriteFile(file, []byte(got), 0o644))
	}
	if want := string(must(os.ReadFile(file))); got != want {
		t.Errorf("%s differs: run with -update and read what has changed", file)
	}
	t.Log(cells, "cells")
}

package access

import (
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
)

func rightsOfServices() []Right {
	out := []Right{
		{
			Roles: Services(),
			// Answers to questions that came over a bridge have subjects of the server's own.
			Publish: []string{"_R_.>", "_INBOX.>", "$JS.ACK.>", string(contract.TypeDeadLetter), string(contract.TypeDeadLetter) + ".*", string(contract.TypeTick)},
			Why:     "answers, dead letters, and the broker's time",
		},
		{
			Roles:     Services(),
			Subscribe: []string{"_INBOX.service.>", "ask.>", "$SRV.>"},
			Why:       "hear questions, and answers to own requests",
		},
		{Roles: Services(), Publish: []string{"$SRV.PING"}, Why: "check their own health"},
		{Roles: Services(), Publish: api(
			"INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.*", "STREAM.CREATE.*", "STREAM.UPDATE.*", "STREAM.MSG.GET.*", "STREAM.MSG.DELETE.LEASES", "STREAM.PURGE.SNAPSHOTS", "STREAM.MSG.DELETE.SNAPSHOTS",
			"CONSUMER.CREATE.EVENTS.>", "CONSUMER.CREATE.HISTORY.>", "CONSUMER.CREATE.SNAPSHOTS.>", "CONSUMER.CREATE.KV_progdefs.>",
			"CONSUMER.CREATE.KV_types.>", "CONSUMER.CREATE.LEASES.>", "CONSUMER.INFO.>", "CONSUMER.DELETE.EVENTS.*", "CONSUMER.DELETE.HISTORY.*",
			"CONSUMER.DELETE.SNAPSHOTS.*", "CONSUMER.DELETE.KV_progdefs.*", "CONSUMER.DELETE.KV_types.*", "CONSUMER.DELETE.LEASES.*",
			"CONSUMER.MSG.NEXT.EVENTS.*", "CONSUMER.MSG.NEXT.HISTORY.*", "CONSUMER.MSG.NEXT.SNAPSHOTS.*", "CONSUMER.MSG.NEXT.KV_progdefs.*",
			"CONSUMER.MSG.NEXT.KV_types.*", "CONSUMER.MSG.NEXT.LEASES.*", "DIRECT.GET.>",
		), Why: "create what all services share, and read it"},
		{Roles: Services(), Subscribe: []string{"_INBOX.service.>"}, Why: "answers to own requests"},
		{
			Roles:   Services(),
			Publish: append(api("INFO", "STREAM.CREATE.OBJ_data", "STREAM.UPDATE.OBJ_data", "STREAM.INFO.OBJ_data", "STREAM.MSG.GET.OBJ_data"), "$O."+contract.BucketData+".>"),
			Why:     "store and read the data of large events",
		},
	}
	for _, r := range Services() {
		right := Right{
			Roles: []Role{r}, Why: "its own events, lease and snapshots",
			Publish: []string{contract.LeaseSubject(string(r)), "snapshot." + string(r) + ".>"},
		}
		for _, e := range contract.Table {
			if slices.Contains(e.Publishers, string(r)) && e.Of != contract.OfMessage {
				right.Publish = append(right.Publish, contract.Ingressed(e.Pattern()))
			}
		}
		out = append(out, right)
	}
	return append(out,
		Right{
			Roles: []Role{Validator}, Publish: []string{"$KV." + contract.BucketProgdefs + ".>", "$KV." + contract.BucketTypes + ".>"},
			Why: "keep the catalogue",
		},
		Right{
			Roles:   []Role{Planner},
			Publish: api("STREAM.PURGE.JOBS", "STREAM.PURGE.EVENTS", "CONSUMER.CREATE.JOBS.>", "CONSUMER.DURABLE.CREATE.JOBS.*", "CONSUMER.DELETE.JOBS.*", "CONSUMER.LIST.JOBS", "CONSUMER.NAMES.JOBS"),
			Why:     "make mailboxes, and delete what is no longer needed",
		},
		Right{
			Roles:     []Role{Planner},
			Publish:   append(api("STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.*", "STREAM.CREATE.*", "STREAM.DELETE.*", "STREAM.PURGE.*", "STREAM.MSG.GET.*", "DIRECT.GET.*.edges.>", "CONSUMER.CREATE.*.>", "CONSUMER.DELETE.*.*", "CONSUMER.MSG.NEXT.*.*"), "edges.*.*.>", "stop.>", contract.SecretSubject(contract.SecretOfEdges)),
			Subscribe: []string{contract.ReleaseSubjects, contract.FromAny(contract.ReleaseSubjects)}, Why: "make the shards, store constants, begin and stop flows, delete edges",
		},
		Right{
			Roles: []Role{Spawner}, Publish: append(api("STREAM.PURGE.LEASES"), "jobs.*.*.*.*", contract.NameSubject("*"), contract.SecretSubject(string(Spawner)), contract.SecretSubject(contract.SecretOfEdges)),
			Why: "hand out jobs, and keep the names of executors",
		},
		Right{
			Roles: []Role{Aggregator}, Publish: append(api("STREAM.PURGE.HISTORY"), contract.SubjectHistory),
			Why: "keep history",
		},
		Right{
			Roles: []Role{Aggregator},
			Publish: append(api(
				"STREAM.DELETE."+contract.StreamWebhooks, "CONSUMER.CREATE."+contract.StreamWebhooks+".>", "CONSUMER.NAMES."+contract.StreamWebhooks,
				"CONSUMER.DELETE."+contract.StreamWebhooks+".*", "CONSUMER.MSG.NEXT."+contract.StreamWebhooks+".*",
			), "$KV."+contract.BucketWebhooks+".>", contract.SecretSubject(contract.SecretOfWebhooks)),
			Why: "keep webhooks, and deliver to them",
		},
		Right{
			Roles:     []Role{Aggregator},
			Publish:   append(api("STREAM.INFO.*", "DIRECT.GET.*", "DIRECT.GET.*.edges.>", "CONSUMER.CREATE.*.>", "CONSUMER.DELETE.*.*", "CONSUMER.MSG.NEXT.*.*"), "edges.*.*.stop", "edges.*.*.last-stop", contract.EdgeFrames, contract.Address{Salt: "*"}.From(contract.Nobody, contract.EdgeFrames), "direct.*.*.*", contract.SecretSubject(contract.SecretOfEdges)),
			Subscribe: []string{contract.HealthSubjects, contract.FromAny(contract.HealthSubjects), contract.ClientSubjects, contract.FromAny(contract.ClientSubjects), contract.EdgeCredits},
			Why:       "receive heartbeats, measure edges, stop jobs, feed wired panics",
		},
	)
}

func api(calls ...string) (out []string) {
	for _, c := range calls {
		out = append(out, "$JS.API."+c)
	}
	return out
}

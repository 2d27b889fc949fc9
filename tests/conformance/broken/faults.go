package broken

import (
	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/wire"
)

func names(checks ...string) []string { return checks }

// Faults lists all faults.
func Faults() []Fault {
	all := [][]Fault{
		claimFaults(), healthFaults(), streamFaults(), readerFaults(), windowFaults(), closeFaults(),
		stopFaults(), drainFaults(), eventFaults(),
	}
	var out []Fault
	for _, some := range all {
		out = append(out, some...)
	}
	return out
}

func claimFaults() []Fault {
	return []Fault{
		{Name: "ignores-keys", Checks: names("sealed.echo", "sealed.noise"), Seen: "", wire: onJob(unsealed)},
		{Name: "never-starts", Checks: names("start.job"), Seen: "does not pull", sleeps: true},
		{
			Name: "ignores-its-credentials", Checks: names("start.job"), Seen: "connected without its credentials",
			config: func(c *executor.Config) { c.Access.Creds = "" },
		},
		{
			Name: "speaks-for-another", Checks: names("start.job"), Seen: `refused what it published on "name.x1"`,
			config: func(c *executor.Config) { c.ID = "x1" },
		},
		{
			Name: "calls-directly", Checks: names("start.job"), Seen: "calls begin with api.", wire: always(callsDirectly),
		},
		{
			Name: "asks-elsewhere", Checks: names("start.job"), Seen: "its answers arrive on subjects that begin with",
			wire: always(asksElsewhere),
		},
		{
			Name: "hears-everything", Checks: names("start.job"), Seen: `refused its subscription to "_INBOX.>"`,
			config: hearsEverything,
		},
		{
			Name: "takes-no-name", Checks: names("name.taken-first", "name.taken-by-another"), Seen: "name",
			config: func(c *executor.Config) { c.Spawned = false },
		},
		{
			Name: "acknowledges-first", Checks: names("claim.order"), Seen: "nobody runs it",
			wire: always(acknowledgesFirst),
		},
		{
			Name: "asks-for-no-confirmation", Checks: names("claim.acknowledged"), Seen: "",
			wire: always(asksForNone),
		},
		{
			Name: "acknowledges-once", Checks: names("claim.acknowledged"), Seen: "no second acknowledgement",
			wire: always(acknowledgesOnce),
		},
		{
			Name: "takes-its-own-word-for-another's", Checks: names("claim.lost-answer"), Seen: "only the answer was lost",
			wire: always(mistakesItself),
		},
		{
			Name: "keeps-what-it-drops", Checks: names("claim.started-elsewhere"), Seen: "no acknowledgement",
			wire: keepsDropped,
		},
		{
			Name: "starts-unstored", Checks: names("claim.stored"), Seen: "job.started is stored",
			wire: always(startsUnstored),
		},
		{
			Name: "says-started-unconditionally", Checks: names("claim.stored", "events.first"),
			Seen: "Nats-Expected-Last-Subject-Sequence",
			wire: always(unconditional),
		},
		{
			Name: "publishes-without-sender", Checks: names("events.sender"), Seen: "refused what it published on", wire: always(withoutSender),
		},
		{
			Name: "misses-plain-starts", Checks: names("claim.started-plainly"), Seen: "beside the executor",
			wire: always(missesPlainStarts),
		},
		{
			Name: "starts-beside-another", Checks: names("claim.stored", "events.first"),
			Seen: "Nats-Expected-Last-Subject-Sequence-Subject", wire: always(ownStart),
		},
		{
			Name:   "ignores-the-refusal",
			Checks: names("claim.started-elsewhere", "claim.delivered-twice", "claim.redelivered"),
			Seen:   "run",
			wire:   ignoresRefusal,
		},
		{
			Name: "runs-beside-another", Checks: names("claim.two-executors"), Seen: "20 jobs", wire: ignoresRefusal,
		},
		{
			Name: "greedy", Checks: names("claim.slots"), Seen: "with 2 slots",
			config: func(c *executor.Config) { c.Slots *= 4 },
		},
		{
			Name: "creates-mailbox", Checks: names("start.job"), Seen: "CONSUMER.DURABLE.CREATE",
			wire: createsMailbox,
		},
		{
			Name: "asks-without-pause", Checks: names("claim.mailbox-missing"), Seen: "times in two seconds",
			wire: always(asksWithoutPause),
		},
		{
			Name: "nameless", Checks: names("claim.own-id"),
			wire: onEvent(contract.TypeJobStarted, sets("executor", "Echo No. 1")),
		},
	}
}

func healthFaults() []Fault {
	return []Fault{
		{
			Name: "silent", Checks: names("health.idle", "health.busy", "health.blocked"), Seen: "no heartbeat",
			wire: onBeat(dropped),
		},
		{
			Name: "beats-too-seldom", Checks: names("health.idle"), Seen: "interval",
			wire: everySecond,
		},
		{
			Name: "beats-dates", Checks: names("health.idle"), Seen: "not a beat",
			wire: onBeat(says("2026-02-28T12:00:00Z")),
		},
		{
			Name: "beats-by-its-clock", Checks: names("health.idle"), Seen: "outdated",
			wire: onBeat(says("1790000000000")),
		},
		{
			Name: "beats-seconds", Checks: names("health.idle"), Seen: "good for 5ms",
			wire: onBeat(says("+5")),
		},
		{
			Name: "beats-when-idle", Checks: names("health.busy", "health.blocked"), Seen: "no heartbeat",
			wire: beatsWhenIdle,
		},
	}
}

func streamFaults() []Fault {
	return []Fault{
		{Name: "swaps", Checks: names("stream.echo"), Seen: "record 0", run: swaps()},
		{
			Name: "miscounts", Checks: names("stream.echo", "stream.empty"), Seen: "counts",
			wire: onEvent(contract.TypeJobDone, doubled),
		},
		{
			Name: "adds-one", Checks: names("stream.empty", "stream.echo"), Seen: "behind the",
			run: addsOne,
		},
		{
			Name: "drops-empty", Checks: names("stream.empty-records"), Seen: "record 0",
			run: edits(func(_ int, v string) []string {
				if v == "" {
					return nil
				}
				return []string{v}
			}),
		},
		{
			Name: "loses-one", Checks: names("stream.many"), Seen: "record 100000",
			run: edits(func(i int, v string) []string {
				if i == 100_000 {
					return nil
				}
				return []string{v}
			}),
		},
		{
			Name: "sends-twice", Checks: names("stream.repeats", "stream.echo"), Seen: "record",
			run: edits(func(i int, v string) []string {
				if i == 1 {
					return []string{v, v}
				}
				return []string{v}
			}),
		},
		{
			Name: "truncates", Checks: names("stream.large", "stream.small-window"), Seen: "; sent: ",
			run: truncates(64 << 10),
		},
		{
			Name: "forgets-unread", Checks: names("stream.stored"), Seen: "behind job.done",
			wire: always(forgetsUnread),
		},
		{
			Name: "hoards", Checks: names("stream.lone-record", "window.absent-reader"), Seen: "",
			run: hoards,
		},
		{
			Name: "large-frames", Checks: names("stream.frames"), Seen: "a quarter of the window",
			wire: outputs(func(a *contract.Address) { a.Window *= 16 }),
		},
		{
			Name: "takes-no-credits", Checks: names("stream.reply-subject", "stream.lone-record"), Seen: "readers have no right",
			wire: always(takesNoCredits),
		},
		{
			Name: "credits-no-records", Checks: names("stream.credits"), Seen: "is for 0 records",
			wire: onCredit(func(c *wire.Credit) { c.Records = 0 }),
		},
		{
			Name: "credits-in-advance", Checks: names("stream.credits"),
			wire: onCredit(func(c *wire.Credit) { c.Frame += 1000 }),
		},
		{
			Name: "loses-at-reconnect", Checks: names("reconnect.kicked", "reconnect.restart"), Seen: "record",
			run: losesAtReconnect,
		},
		{
			Name: "exits-when-rejected", Checks: names("reconnect.rejected"), Seen: "exit status",
			wire: always(exitsWhenRejected),
		},
	}
}

func readerFaults() []Fault {
	return []Fault{
		{Name: "takes-any-text", Checks: names("decode.utf8"), Seen: "job.done", codec: anyText{}},
		{
			Name: "blames-no-record", Checks: names("decode.utf8"), Seen: "which record",
			wire: onEvent(contract.TypeJobPanic, removes("record")),
		},
		{
			Name: "calls-all-errors", Checks: names("decode.utf8", "fault.gap"), Seen: "kind error",
			wire: onEvent(contract.TypeJobPanic, sets("kind", "error")),
		},
		{
			Name: "hides-panics", Seen: "job.done instead of a panic",
			Checks: names("fault.gap", "fault.records", "fault.octets", "fault.checksum", "fault.frame", "fault.length"),
			wire:   always(hidesPanics),
		},
		{
			Name: "ends-at-panic", Checks: names("fault.no-end"), Seen: "has an END",
			wire: always(endsAtPanic),
		},
	}
}

func windowFaults() []Fault {
	return []Fault{
		{
			Name: "ignores-the-window", Checks: names("window.absent-reader", "window.slow-reader"),
			Seen: "were unconsumed",
			wire: outputs(func(a *contract.Address) { a.Window *= 8 }),
		},
		{
			Name: "ignores-frames", Checks: names("window.frames"), Seen: "were unconsumed",
			wire: outputs(func(a *contract.Address) { a.Frames, a.Slots = 2*a.Frames, 2*a.Slots }),
		},
	}
}

func closeFaults() []Fault {
	return []Fault{
		{
			Name: "fails-when-closed", Checks: names("close.output", "close.absent-reader"), Seen: "broken pipe",
			run: failsWhenClosed,
		},
		{
			Name: "hides-early-close", Checks: names("close.input", "close.output"), Seen: "clos",
			wire: onEvent(contract.TypeJobDone, removes("closedEarly")),
		},
		{
			Name: "closes-without-saying", Checks: names("close.input"), Seen: "was not told",
			wire: onCredit(func(c *wire.Credit) { c.Closed = false }),
		},
	}
}

func stopFaults() []Fault {
	return []Fault{
		{
			Name: "ignores-stops", Seen: "within 10s", wire: deafToStops,
			Checks: names("stop.blocked-on-input", "stop.running", "stop.blocked-on-output", "stop.before-start",
				"stop.missed"),
		},
		{
			Name: "ignores-a-wired-stop", Checks: names("stop.wired"), Seen: "did not end within 10s",
			wire: onJob(func(j *contract.Job) { delete(j.Inputs, progdef.StopPort) }),
		},
		{
			Name: "calls-a-wired-stop-stopped", Checks: names("stop.wired"), Seen: "stopped: true",
			wire: onEvent(contract.TypeJobDone, sets("stopped", true)),
		},
		{
			Name: "ends-with-its-wired-stop", Checks: names("stop.wired-empty"), Seen: "had no record",
			wire: always(endsWithStop),
		},
		{
			Name: "looks-for-no-stop", Checks: names("stop.before-start", "stop.missed", "stop.cleaned"), Seen: "within 10s",
			wire: always(looksForNoStop),
		},
		{
			Name: "does-not-say-stopped", Seen: "stopped: true", wire: onEvent(contract.TypeJobDone, removes("stopped")),
			Checks: names("stop.blocked-on-input", "stop.no-stream", "stop.stream-gone"),
		},
		{
			Name: "panics-when-stopped", Seen: "panicked, kind error", wire: always(panicsWhenStopped),
			Checks: names("stop.running", "stop.no-stream", "stop.stream-gone"),
		},
	}
}

func drainFaults() []Fault {
	return []Fault{
		{
			Name: "ignores-sigterm", Checks: names("drain.idle", "drain.running"), Seen: "no executor.draining",
			signals: deaf,
		},
		{
			Name: "drains-silently", Checks: names("drain.idle"), Seen: "no executor.draining",
			wire: always(drainsSilently),
		},
		{
			Name: "says-draining-again", Checks: names("drain.said-already"), Seen: "said again",
			wire: always(saysAgain),
		},
		{
			Name: "drops-running", Checks: names("drain.running"), Seen: "kind drained",
			signals: twice,
		},
		{
			Name: "exits-three", Checks: names("drain.idle", "drain.running"), Seen: "exit status 3",
			exit: func(int) int { return 3 },
		},
		{
			Name: "pretends-to-drain", Checks: names("drain.takes-nothing", "drain.late-delivery", "drain.gives-back"),
			Seen: "", signals: pretends,
		},
		{
			Name: "ignores-the-second", Checks: names("drain.second-signal"), Seen: "after the second SIGTERM",
			signals: once,
		},
		{
			Name: "forgets-its-claims", Checks: names("drain.second-signal", "drain.claim-unanswered"), Seen: "after the second SIGTERM",
			signals: vanishes,
		},
		{
			Name: "exits-zero", Checks: names("drain.second-signal", "drain.grace"), Seen: "exit status 0",
			exit: func(int) int { return 0 },
		},
		{
			Name: "has-all-the-time", Checks: names("drain.grace"), Seen: "DAGYO_GRACE",
			config: func(c *executor.Config) { c.Grace = never },
		},
		{
			Name: "has-no-time", Checks: names("drain.grace"), Seen: "s too early",
			config: func(c *executor.Config) { c.Grace = 0 },
		},
	}
}

func eventFaults() []Fault {
	return []Fault{
		{
			Name: "says-too-much", Checks: names("events.valid"), Seen: "cannot be read",
			wire: onEvent(contract.TypeJobPanic, sets("stack", "main.go:1")),
		},
		{
			Name: "is-somebody-else", Checks: names("events.valid"), Seen: "names the executor",
			wire: onEvent(contract.TypeJobDone, sets("executor", "x-1")),
		},
		{
			Name: "breaks-the-schema", Checks: names("events.valid"), Seen: "schema",
			wire: onEvent(contract.TypeJobPanic, sets("record", -1)),
		},
		{
			Name: "relies-on-message-ids", Checks: names("events.first"), Seen: "Nats-Msg-Id",
			wire: always(withMessageID),
		},
		{
			Name: "says-it-once", Checks: names("events.until-stored"), Seen: "lost on its way",
			wire: always(saysOnce),
		},
	}
}

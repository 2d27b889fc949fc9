package client_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
)

// cpu returns the processor time of this process: of the broker, the publisher and the reader.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// readers are ways to receive events: heard is called for each.
var readers = map[string]func(b *testing.B, l *log, subjects []string, heard chan<- uint64){
	"nobody": func(*testing.B, *log, []string, chan<- uint64) {},
	"feed": func(b *testing.B, l *log, subjects []string, heard chan<- uint64) {
		c, err := client.Connect(b.Context(), client.Options{URL: l.server.ClientURL(), Source: "/test"})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(c.Close)
		feed, err := c.Follow(b.Context(), client.Start{}, subjects...)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(feed.Close)
		go func() {
			for {
				select {
				case e := <-feed.Events():
					heard <- e.Seq
				case <-b.Context().Done():
					return
				}
			}
		}()
	},
	"consumer": func(b *testing.B, l *log, subjects []string, heard chan<- uint64) {
		oc, err := l.link.JS.OrderedConsumer(b.Context(), contract.StreamEvents, jetstream.OrderedConsumerConfig{FilterSubjects: subjects})
		if err != nil {
			b.Fatal(err)
		}
		consuming, err := oc.Consume(func(m jetstream.Msg) {
			if meta, err := m.Metadata(); err == nil {
				heard <- meta.Sequence.Stream
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(consuming.Stop)
	},
}

// BenchmarkFeed compares a feed with a consumer: events that arrive one by one (2,000 a second, of one flow and of
// another), their delay, and the processor time that each costs.
func BenchmarkFeed(b *testing.B) {
	for _, subjects := range [][]string{{"flow.*.f"}, client.FlowSubjects("f")} {
		for name, read := range readers {
			b.Run(fmt.Sprintf("%s-%d", name, len(subjects)), func(b *testing.B) {
				l, heard := newLog(b), make(chan uint64, 1024)
				read(b, l, subjects, heard)
				var delays []time.Duration
				began := cpu(b)
				for range b.N {
					at := time.Now()
					seq := l.publish(b, "events.flow.queued.f", make([]byte, 500)...)
					if name != "nobody" {
						for <-heard != seq {
						}
						delays = append(delays, time.Since(at))
					}
					l.publish(b, "events.flow.queued.other", make([]byte, 500)...)
					time.Sleep(500 * time.Microsecond)
				}
				b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(b.N), "cpu-us/event")
				if slices.Sort(delays); len(delays) > 0 {
					b.ReportMetric(float64(delays[len(delays)/2].Microseconds()), "p50-us")
					b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "p99-us")
				}
			})
		}
	}
}

// BenchmarkFeedCatchUp reads stored events.
func BenchmarkFeedCatchUp(b *testing.B) {
	for _, name := range []string{"feed", "consumer"} {
		b.Run(name, func(b *testing.B) {
			l, heard := newLog(b), make(chan uint64, 1024)
			for range b.N {
				if _, err := l.link.JS.PublishAsync("events.flow.queued.f", make([]byte, 500)); err != nil {
					b.Fatal(err)
				}
			}
			<-l.link.JS.PublishAsyncComplete()
			b.ResetTimer()
			began := cpu(b)
			readers[name](b, l, client.FlowSubjects("f"), heard)
			for range b.N {
				<-heard
			}
			b.ReportMetric(float64((cpu(b)-began).Nanoseconds())/1000/float64(b.N), "cpu-us/event")
		})
	}
}

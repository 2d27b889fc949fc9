package cluster

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/freeport"
)

// start starts three nats-servers as a cluster, and returns their URLs.
func start(t *testing.T) []string {
	t.Helper()
	return startAll(t, freeRoutes(t, 3))
}

// freeRoutes returns the URLs at which servers find each other: they know them before they start.
func freeRoutes(t *testing.T, n int) (routes []*url.URL) {
	t.Helper()
	ports, err := freeport.Find(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	return routes
}

func startAll(t *testing.T, routes []*url.URL) (urls []string) {
	t.Helper()
	for i, route := range routes {
		o := &natsd.Options{
			ServerName: fmt.Sprintf("server-%d", i), Host: "127.0.0.1", Port: natsd.RANDOM_PORT, NoLog: true, NoSigs: true,
			JetStream: true, StoreDir: t.TempDir(), Routes: routes, Cluster: natsd.ClusterOpts{Name: "test", Host: "127.0.0.1"},
		}
		if _, err := fmt.Sscan(route.Port(), &o.Cluster.Port); err != nil {
			t.Fatal(err)
		}
		s, err := natsd.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("a server is not ready after a minute")
		}
		urls = append(urls, s.ClientURL())
	}
	return urls
}

// Of several services that create the same streams at once, the cluster answers one: the others ask again.
func TestServicesThatStartTogether(t *testing.T) {
	urls := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := broker.DefaultConfig()
	c.Replicas = len(urls)
	together(8, func(i int) {
		link := connect(ctx, t, urls[i%len(urls)])
		if err := broker.Ensure(ctx, link, c); err != nil {
			t.Errorf("service %d: %v", i, err)
		}
	})
	together(8, func(i int) { follow(ctx, t, urls[i%len(urls)]) })
}

// follow follows an event that was just published.
func follow(ctx context.Context, t *testing.T, url string) {
	c, err := client.Connect(ctx, client.Options{URL: url, Source: "/test"})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	seq, err := c.Cancel(ctx, "nothing", "a test")
	if err != nil {
		t.Error(err)
		return
	}
	feed, err := c.Follow(ctx, client.Start{Seq: seq})
	if err != nil {
		t.Error(err)
		return
	}
	defer feed.Close()
	if e, err := feed.Next(ctx); err != nil || e.Type != contract.TypeFlowCancel || e.Seq != seq {
		t.Errorf("got %s at %d, %v, want %s at %d", e.Type, e.Seq, err, contract.TypeFlowCancel, seq)
	}
}

func together(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func connect(ctx context.Context, t *testing.T, url string) *broker.Link {
	link, err := broker.Connect(ctx, broker.Options{URL: url, Name: t.Name()})
	if err != nil {
		t.Error(err)
		t.FailNow()
	}
	t.Cleanup(link.Close)
	return link
}

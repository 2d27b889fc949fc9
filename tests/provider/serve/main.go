// Command serve runs the provider of package provider for tests of the console, until it is interrupted. Its arguments are
// the redirect URIs of its clients; it prints its issuer.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/dagyo/dagyo/tests/provider"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p, err := provider.Start("127.0.0.1:0", os.Args[1:],
		provider.User{Name: "vera", Groups: []string{"staff"}, Verified: true}, provider.User{Name: "ada.l", Groups: []string{"data-team"}, Verified: true},
		provider.User{Name: "mallory"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.URL)
	<-ctx.Done()
	if err := p.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Command probe is the program in the pods of the harness's own tests.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const usage = `usage: probe serve | eat | count FILE

  serve  answer on port 8080 until SIGTERM, and two seconds more:
           /env/NAME        the value of a variable
           /fetch?url=URL   the response of URL to this pod, with its service account over https
  eat    allocate more and more memory
  count  add one to the number in a file, and print it`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "serve":
		return serve()
	case len(args) == 1 && args[0] == "eat":
		eat()
	case len(args) == 2 && args[0] == "count":
		return count(args[1])
	}
	return errors.New(usage)
}

func count(file string) error {
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	number, _ := strconv.Atoi(string(content)) // a missing file counts as zero
	number++
	fmt.Println(number)
	return os.WriteFile(file, []byte(strconv.Itoa(number)), 0o644)
}

func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /env/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.Getenv(r.PathValue("name")))
	})
	mux.HandleFunc("GET /fetch", func(w http.ResponseWriter, r *http.Request) {
		if err := fetch(r.Context(), w, r.FormValue("url")); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
	server := &http.Server{Addr: ":8080", Handler: mux}
	done := make(chan error, 1)
	go func() { done <- server.ListenAndServe() }()
	fmt.Println("serving")
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	fmt.Println("stopping")
	time.Sleep(2 * time.Second)
	server.Close()
	<-done
	fmt.Println("stopped")
	return nil
}

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

func fetch(ctx context.Context, w io.Writer, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second}
	if request.URL.Scheme == "https" {
		if client.Transport, err = clusterTransport(request.Header); err != nil {
			return err
		}
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(w, response.Body)
	return err
}

// clusterTransport trusts the cluster's authority, and adds the service account's token to h.
func clusterTransport(h http.Header) (http.RoundTripper, error) {
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	h.Set("Authorization", "Bearer "+string(token))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, nil
}

func eat() {
	for {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = 1
		}
		eaten = append(eaten, block)
	}
}

var eaten [][]byte

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/services/gateway"
)

// urlFile has the address of the gateway of `dagyo up`, beside headerFile.
const urlFile = "http.url"

// consoleWait bounds the request for a code.
const consoleWait = 10 * time.Second

func (a *app) consoleCommand() *cobra.Command {
	stay := false
	cmd := &cobra.Command{
		Use: "console", GroupID: groupFlows, Args: cobra.NoArgs,
		Short: "Open the web console",
		Long: `Open the web console of a running "dagyo up" in the browser, and sign in.

It prints the address, which has a code that is valid once, for two minutes. Other
gateways have the console at their own address: sign in there with a credentials
file of "dagyo user add".`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.console(cmd.Context(), !stay) },
	}
	cmd.Flags().BoolVar(&stay, "no-browser", false, "print the address only")
	return cmd
}

func (a *app) console(ctx context.Context, open bool) error {
	if err := a.locate(); err != nil {
		return err
	}
	at, header, err := gatewayOf(filepath.Dir(a.access.Creds))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this context is not of a `dagyo up` that serves HTTP: start one, or open the address of your gateway and sign in with a credentials file")
	}
	if err != nil {
		return err
	}
	code, err := signInCode(ctx, at, header)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing answers at %s: start `dagyo up`", at)
	}
	if err != nil {
		return fmt.Errorf("ask the gateway at %s for a code: %w", at, err)
	}
	page := at + "/#code=" + code
	if a.json() {
		return a.printJSON(map[string]string{"url": page})
	}
	if _, err := fmt.Fprintln(a.Out, page); err != nil || !open {
		return err
	}
	if err := browse(ctx, page); err != nil {
		fmt.Fprintf(a.Err, "no browser was opened (%v): open the address above\n", err)
	}
	return nil
}

// gatewayOf returns the address of the gateway of `dagyo up`, and the header that authorizes its user, from the folder of
// the user's credentials.
func gatewayOf(dir string) (at, header string, err error) {
	address, err := os.ReadFile(filepath.Join(dir, urlFile))
	if err != nil {
		return "", "", err
	}
	token, err := os.ReadFile(filepath.Join(dir, headerFile))
	if err != nil {
		return "", "", err
	}
	_, value, _ := strings.Cut(string(token), ":")
	return strings.TrimSpace(string(address)), strings.TrimSpace(value), nil
}

// signInCode asks a gateway for a code with which a browser signs in.
func signInCode(ctx context.Context, at, authorization string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, consoleWait)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at+"/v1/session/codes", nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", authorization)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", errors.Unwrap(err) // the error of the URL has it twice
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		var e gateway.Error
		if json.Unmarshal(body, &e) != nil || e.Detail == "" {
			e.Detail = res.Status
		}
		return "", errors.New(e.Detail)
	}
	var c gateway.Code
	return c.Code, json.Unmarshal(body, &c)
}

// browse opens an address in the user's browser.
func browse(ctx context.Context, address string) error {
	name, args := "xdg-open", []string{address}
	switch {
	case runtime.GOOS == "darwin":
		name = "open"
	case runtime.GOOS == "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	case os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "":
		return errors.New("there is no graphical session")
	}
	return exec.CommandContext(ctx, name, args...).Run()
}

package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/services/dagyo/docfile"
	"github.com/dagyo/dagyo/services/dagyo/policyfile"
	"github.com/dagyo/dagyo/services/gateway"
	"github.com/dagyo/dagyo/services/gateway/signin"
)

// envSignIn is the default of --sign-in.
const envSignIn = "DAGYO_SIGN_IN"

func (a *app) signInCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sign-in", GroupID: groupServices,
		Short: "Check the settings with which persons sign in",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check FILE",
		Short: "Check a file with settings of sign-in and print all problems",
		Long: `Check the settings in FILE (JSON or YAML) as "dagyo gateway --sign-in" checks them,
and print all problems. "dagyo schema sign-in" prints their schema;
docs/sign-in.md explains them.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := readSignIn(args[0])
			return a.tellChecked("sign-in", args[0], err)
		},
	})
	return cmd
}

// readSignIn reads settings. If they are not valid, the error is a problem.List with positions in the file.
func readSignIn(path string) (*signin.Settings, error) {
	doc, err := docfile.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, problems := signin.Check(doc.JSON)
	if len(problems) > 0 {
		return nil, doc.Locate(problems)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return s.Within(dir), nil
}

// signInFlags are the flags of gateway with which persons sign in.
type signInFlags struct {
	settings, keys string
	rate           int
}

func (o *signInFlags) define(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.settings, "sign-in", a.Env(envSignIn), "file with the provider with which persons sign in (environment: "+envSignIn+")")
	f.Lookup("sign-in").DefValue = ""
	f.StringVar(&o.keys, "sign-in-keys", "", "file with the keys for that: gateway/sign-in.json of \"dagyo init auth\", or that of \"dagyo keys sign-in\"")
	f.IntVar(&o.rate, "sign-in-rate", gateway.DefaultSignInRate, "most requests a second to sign in from each address, and 4 times as many from all")
}

// open returns nil if nobody can sign in with a provider. Keys that are missing are logged: they may follow.
func (o *signInFlags) open(log zerolog.Logger) (*gateway.SignIn, error) {
	if o.settings == "" {
		return nil, nil
	}
	if o.rate < 1 {
		return nil, usage(fmt.Errorf("--sign-in-rate is %d: it must be at least 1", o.rate))
	}
	if o.keys == "" {
		return nil, usage(errors.New("--sign-in needs --sign-in-keys: gateway/sign-in.json of `dagyo init auth`, or the file of `dagyo keys sign-in --out`"))
	}
	s, err := readSignIn(o.settings)
	if err != nil {
		return nil, usage(fmt.Errorf("--sign-in %s: %s", o.settings, policyfile.Explain(err)))
	}
	out := &gateway.SignIn{Settings: s, Keys: signin.Keys(o.keys), Rate: o.rate}
	missing, err := out.Keys.Missing(s.Rules)
	if err != nil {
		return nil, usage(fmt.Errorf("--sign-in-keys: %w", err))
	}
	for _, r := range missing {
		log.Warn().Str("service", "gateway").Str("tenant", r.Tenant).Str("role", string(r.Role)).
			Msg("a rule of sign-in gives a role that the keys do not allow: see `dagyo keys sign-in`")
	}
	log.Info().Str("service", "gateway").Str("issuer", s.Issuer).Str("url", s.URL).Msg("persons can sign in")
	return out, nil
}

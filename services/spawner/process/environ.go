package process

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/envset"
)

// inherited are the variables that an executor inherits from the spawner. The others may contain the spawner's secrets.
// If it has a user of its own, it cannot use the home of the spawner's. Programs look up a user that has no name.
func inherited(own string, foreign bool) envset.Vars {
	names := []string{"PATH", "LANG", "TZ"}
	if !foreign {
		names = append(names, "HOME", "USER")
	}
	e := envset.Vars{"TMPDIR": filepath.Join(own, tmp)}
	for _, name := range names {
		if v, ok := os.LookupEnv(name); ok {
			e[name] = v
		}
	}
	if foreign {
		e.Add(map[string]string{"HOME": own, "USER": "executor", "LOGNAME": "executor"})
	}
	return e
}

// tmp is the folder for temporary files in an executor's own directory.
const tmp = "tmp"

// credentials are the folder and the names of the copies of NATS credentials in an executor's own directory, by the
// variable that has their path.
const credentials = ".dagyo"

var credentialFiles = map[string]string{
	contract.EnvCreds: "nats.creds", contract.EnvTLSCA: "ca.crt", contract.EnvTLSCert: "tls.crt", contract.EnvTLSKey: "tls.key",
}

// environ builds an executor's environment: inherited variables, Config.Env, and those of the progdef and
// Dagyo; later ones override earlier ones. files are the contents of the credentials, by name in their folder in the
// executor's own directory.
func (c Config) environ(spec backend.Spec, own string, i Isolation) (e envset.Vars, files map[string][]byte, err error) {
	e = inherited(own, i.Foreign)
	e.Add(c.Env)
	files = map[string][]byte{}
	told := spec
	told.Env = maps.Clone(spec.Env)
	for name, file := range credentialFiles {
		path := spec.Env[name]
		if path == "" || !i.Enclosed {
			continue
		}
		if files[file], err = os.ReadFile(path); err != nil {
			return nil, nil, fmt.Errorf("copying the credentials for NATS: %w", err)
		}
		told.Env[name] = filepath.Join(own, credentials, file)
	}
	for _, f := range spec.OwnFiles() {
		told.Env[f.Variable], files[f.Name] = filepath.Join(own, credentials, f.Name), f.Content
	}
	vars, err := envset.Dir(c.EnvDir).Environment(told)
	if err != nil {
		return nil, nil, err
	}
	e.Add(vars)
	return e, files, nil
}

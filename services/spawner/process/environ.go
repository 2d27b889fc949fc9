package process

import (
	"os"

	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/envset"
)

// inherited are the variables that an executor inherits from the spawner. The others may contain the
// spawner's secrets.
func inherited() envset.Vars {
	e := envset.Vars{}
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR", "TZ", "USER"} {
		if v, ok := os.LookupEnv(name); ok {
			e[name] = v
		}
	}
	return e
}

// environ builds an executor's environment: inherited variables, Config.Env, and those of the progdef and
// Dagyo; later ones override earlier ones.
func (c Config) environ(spec backend.Spec) (envset.Vars, error) {
	e := inherited()
	e.Add(c.Env)
	told, err := envset.Dir(c.EnvDir).Environment(spec)
	if err != nil {
		return nil, err
	}
	e.Add(told)
	return e, nil
}

package process

import (
	"os"

	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/envset"
)

// inherited is what an executor sees of the spawner's own environment. The rest may hold the
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

// environ builds an executor's environment: the spawner's own, Config.Env, and above them what the
// progdef and Dagyo say.
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

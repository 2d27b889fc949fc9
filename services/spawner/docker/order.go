package docker

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/envset"
)

// The labels of a container. The place separates installations on one host.
const (
	labelPlace    = "dev.dagyo.place"
	labelExecutor = "dev.dagyo.executor"
	labelProgdef  = "dev.dagyo.progdef"
	labelRevision = "dev.dagyo.revision"
	// labelImage is the id of the image, labelReference its reference in the progdef.
	labelImage     = "dev.dagyo.image"
	labelReference = "dev.dagyo.reference"
	// labelGrace is how long the executor may continue its jobs after SIGTERM.
	labelGrace = "dev.dagyo.grace"
)

// An order is an executor to start, as far as it is known without its image. It contains the
// environment, which may be secret.
type order struct {
	instance backend.Instance
	image    imageRef
	command  []string
	env      envset.Vars
	grace    time.Duration
	needs    needs
	// own are the executor's own files.
	own []backend.OwnFile
}

// order turns a spec into an order, for a host with cpus CPUs. If that is impossible, the error is a
// *backend.StartError.
func (c Config) order(spec backend.Spec, cpus int) (order, error) {
	d := spec.Document
	if d.Image == "" {
		return order{}, noImage(d.Build != nil)
	}
	ref, err := parseImage(d.Image)
	if err != nil {
		return order{}, err
	}
	needs, err := translate(d.Resources, cpus)
	if err != nil {
		return order{}, err
	}
	env, err := envset.Dir(c.EnvDir).Environment(spec)
	if err != nil {
		return order{}, err
	}
	own := spec.OwnFiles()
	for _, f := range own {
		env[f.Variable] = backend.OwnDir + "/" + f.Name
	}
	return order{
		instance: backend.Instance{
			Executor: spec.Executor, Progdef: spec.Progdef, Revision: spec.Revision,
		},
		image: ref, command: d.Command, env: env, grace: d.Drain.GracePeriod.D(), needs: needs,
		own: own,
	}, nil
}

func noImage(built bool) error {
	hint := "add an image, or run the spawner with the process backend"
	if built {
		hint = "`dagyo progdef build` makes an image of the progdef's `build` and names it in the document"
	}
	return refuse("the progdef has no `image`, which the Docker backend needs", hint, "image")
}

// create returns the options for the container of an order, based on its image.
func (c Config) create(o order, i image.InspectResponse) (client.ContainerCreateOptions, error) {
	if len(o.command) == 0 && len(program(o, i)) == 0 {
		return client.ContainerCreateOptions{}, refuse(
			fmt.Sprintf("the image %s has no entry point, so it has nothing to run", o.image.text),
			"add a command to the progdef, or an ENTRYPOINT to the image's Dockerfile", "image")
	}
	user, owner := unprivileged(i.Config.User)
	host := c.confine(o.needs, owner)
	if len(o.own) > 0 {
		host.Mounts = append(host.Mounts, c.own(o))
	}
	return client.ContainerCreateOptions{
		Name: name{place: c.Place, executor: o.instance.Executor}.String(),
		Config: &container.Config{
			Image:       i.ID, // a name may refer to another image at any time
			Entrypoint:  o.command,
			Env:         o.env.List(),
			User:        user,
			Labels:      c.labels(o, i),
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}}, // executors have their own
			StopTimeout: seconds(o.grace + c.KillDelay),
		},
		HostConfig: host,
	}, nil
}

// confine isolates an executor from the host and its neighbours.
func (c Config) confine(n needs, owner string) *container.HostConfig {
	init, pids := true, c.PidsLimit
	r := n.Resources
	r.PidsLimit = &pids
	size := n.tmp
	if size == 0 {
		size = c.TmpSize
	}
	return &container.HostConfig{
		NetworkMode:    container.NetworkMode(c.Network),
		ExtraHosts:     c.ExtraHosts,
		Mounts:         readOnly(c.Mounts),
		Resources:      r,
		ReadonlyRootfs: true,
		// Programs may be executed from it: compilers and packed executables need that.
		Tmpfs:       map[string]string{"/tmp": fmt.Sprintf("exec,size=%d,mode=1777%s", size, owner)},
		CapDrop:     []string{"ALL"},
		SecurityOpt: []string{"no-new-privileges:true"},
		IpcMode:     container.IPCModePrivate,
		// It reaps orphaned processes, and makes signals work as they do elsewhere: the first process of a
		// container ignores most signals by default.
		Init:          &init,
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{
			"max-size": strconv.FormatInt(c.LogSize, 10), "max-file": strconv.Itoa(c.LogFiles),
		}},
	}
}

func (c Config) labels(o order, i image.InspectResponse) map[string]string {
	out := map[string]string{}
	maps.Copy(out, c.Labels)
	maps.Copy(out, map[string]string{
		labelPlace: c.Place, labelExecutor: o.instance.Executor, labelProgdef: o.instance.Progdef,
		labelRevision: o.instance.Revision, labelImage: i.ID, labelReference: o.image.text,
		labelGrace: o.grace.String(),
	})
	return out
}

// nobody is the user of an executor if its image sets none, or root.
const nobody = "65532"

// unprivileged returns the user to run as, and the owner of /tmp as a mount option. It keeps the image's own
// user unless that is root. The id of a user name is known only inside the image.
func unprivileged(user string) (as, owner string) {
	uid, gid, _ := strings.Cut(user, ":")
	n, err := strconv.Atoi(uid)
	switch {
	case uid == "" || uid == "root" || err == nil && n == 0:
		return nobody + ":" + nobody, ",uid=" + nobody + ",gid=" + nobody
	case err != nil:
		return user, ""
	}
	if _, err := strconv.Atoi(gid); err != nil {
		return user, ",uid=" + uid
	}
	return user, ",uid=" + uid + ",gid=" + gid
}

// program is the command to run, without its arguments if the image separates them.
func program(o order, i image.InspectResponse) []string {
	switch {
	case len(o.command) > 0:
		return o.command
	case len(i.Config.Entrypoint) > 0:
		return i.Config.Entrypoint
	}
	return i.Config.Cmd
}

// readOnly parses mounts of the form source:target. A source with a slash is a path on the host.
func readOnly(mounts []string) []mount.Mount {
	var out []mount.Mount
	for _, m := range mounts {
		source, target, _ := strings.Cut(strings.TrimSuffix(m, ":ro"), ":")
		kind := mount.TypeVolume
		if strings.Contains(source, "/") {
			kind = mount.TypeBind
		}
		out = append(out, mount.Mount{Type: kind, Source: source, Target: target, ReadOnly: true})
	}
	return out
}

// seconds rounds up to whole seconds, which Docker uses.
func seconds(d time.Duration) *int {
	n := int(math.Ceil(d.Seconds()))
	return &n
}

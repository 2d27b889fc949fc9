package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const howToEnclose = "run dagyo as root, or let this user create namespaces (sysctl user.max_user_namespaces, " +
	"kernel.apparmor_restrict_unprivileged_userns)"

// supervisorAttr gives a supervisor its own session. One that encloses a program is the first process of a pid
// namespace: the kernel kills all others in it when the supervisor ends. Without root, that takes a user namespace, in
// which the supervisor keeps its user.
func supervisorAttr(enclosed bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if !enclosed {
		return attr
	}
	attr.Cloneflags = unix.CLONE_NEWPID
	if uid := os.Geteuid(); uid != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE}
	}
	return attr
}

// guard keeps programs with the supervisor's user from reading or changing it, and hands it the processes that lose
// their parent.
func guard() error {
	return errors.Join(
		prctl(unix.PR_SET_DUMPABLE, 0),
		prctl(unix.PR_SET_CHILD_SUBREAPER, 1),
	)
}

func prctl(option int, arg uintptr) error {
	if err := unix.Prctl(option, arg, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl %d: %w", option, err)
	}
	return nil
}

// enter gives the calling thread, and what it starts, a view of its own on files and processes, and takes its
// privileges. The thread can be used for nothing else from then on. It returns the new /proc.
func (e enclosure) enter() (*os.Root, error) {
	if os.Getpid() != 1 {
		return nil, errors.New("the supervisor is not the first process of a pid namespace")
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWIPC); err != nil {
		return nil, fmt.Errorf("a namespace for its files: %w", err)
	}
	// What is mounted on the machine later appears here, too; but nothing the other way round.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return nil, fmt.Errorf("detaching its files: %w", err)
	}
	if err := e.View.apply(); err != nil {
		return nil, err
	}
	const plain = unix.MS_NOSUID | unix.MS_NODEV
	// Processes of other users, such as the supervisor, are invisible.
	if err := unix.Mount("proc", "/proc", "proc", plain|unix.MS_NOEXEC, "hidepid=2"); err != nil {
		return nil, fmt.Errorf("mounting /proc: %w", err)
	}
	shm := "mode=1777"
	if e.Bounds.Memory > 0 {
		shm += ",size=" + strconv.FormatInt(e.Bounds.Memory, 10)
	}
	err := unix.Mount("tmpfs", "/dev/shm", "tmpfs", plain, shm)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("mounting /dev/shm: %w", err)
	}
	proc, err := os.OpenRoot("/proc")
	if err != nil {
		return nil, err
	}
	if err := dropPrivileges(); err != nil {
		_ = proc.Close()
		return nil, err
	}
	return proc, nil
}

// dropPrivileges keeps the programs that the thread starts from having capabilities, or getting new privileges. The
// thread needs its own capabilities to change its user.
func dropPrivileges() error {
	err := errors.Join(
		prctl(unix.PR_SET_NO_NEW_PRIVS, 1),
		prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL),
	)
	if os.Geteuid() != 0 {
		return err // a program of another user than root has none
	}
	for c := uintptr(0); ; c++ {
		set, getErr := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if getErr != nil {
			return err // the last one was dropped
		}
		if set == 1 {
			err = errors.Join(err, prctl(unix.PR_CAPBSET_DROP, c))
		}
	}
}

// apply changes the files that the thread sees. Its paths must exist.
func (v view) apply() error {
	defer unix.Umask(unix.Umask(0o022)) // of this thread only: unshare has separated it
	shows, closeAll, err := v.open()
	defer closeAll()
	if err != nil {
		return err
	}
	paths := slices.Concat(v.Covers, v.Shows)
	slices.Sort(paths) // a directory is before what is in it
	var covers []string
	for _, path := range paths {
		if shown, ok := shows[path]; ok {
			err = shown.place(path)
		} else if mounted, coverErr := cover(path); mounted {
			covers = append(covers, path)
		} else {
			err = coverErr
		}
		if err != nil {
			return fmt.Errorf("preparing its view of %s: %w", path, err)
		}
	}
	for _, path := range covers { // its user may be their owner
		const flags = unix.MS_REMOUNT | unix.MS_RDONLY | coverFlags
		if err := unix.Mount("", path, "", flags, ""); err != nil {
			return fmt.Errorf("protecting its view of %s: %w", path, err)
		}
	}
	return nil
}

const coverFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// shown is a file, directory or link as it was before anything was covered.
type shown struct {
	tree   int // a detached mount
	dir    bool
	target string // of a link
}

func (v view) open() (shows map[string]shown, closeAll func(), err error) {
	shows = make(map[string]shown, len(v.Shows))
	closeAll = func() {
		for _, s := range shows {
			if s.target == "" {
				_ = unix.Close(s.tree)
			}
		}
	}
	for _, path := range v.Shows {
		s, err := open(path)
		if err != nil {
			return shows, closeAll, fmt.Errorf("opening %s: %w", path, err)
		}
		shows[path] = s
	}
	return shows, closeAll, nil
}

// open opens what is to be shown. No element of its path is a symbolic link, except for the last one.
func open(path string) (shown, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return shown{}, err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return shown{}, err
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, "", target)
		return shown{target: string(target[:max(n, 0)])}, err
	}
	tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
	return shown{tree: tree, dir: stat.Mode&unix.S_IFMT == unix.S_IFDIR}, err
}

// place makes the file visible at its path, unless it is.
func (s shown) place(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	if s.target != "" {
		return os.Symlink(s.target, path)
	}
	var err error
	if s.dir {
		err = os.Mkdir(path, 0o711)
	} else {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err != nil {
		return err
	}
	return unix.MoveMount(s.tree, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// cover replaces a directory by an empty one, and a file by an empty one. It reports whether it has mounted a directory.
func cover(path string) (mounted bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // in a covered directory
		return false, os.MkdirAll(path, 0o711)
	case err != nil:
		return false, err
	case !info.IsDir():
		return false, unix.Mount(os.DevNull, path, "", unix.MS_BIND, "")
	}
	err = unix.Mount("tmpfs", path, "tmpfs", coverFlags, "mode=0711,size=1m")
	return err == nil, err
}

// limit sets the limits of the supervisor, which its program inherits.
func (e enclosure) limit() error {
	set := func(resource int, n uint64) error {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return err
		}
		n = min(n, now.Max)
		return unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n})
	}
	err := set(unix.RLIMIT_CORE, 0)
	if e.Bounds.Files > 0 {
		err = errors.Join(err, set(unix.RLIMIT_NOFILE, uint64(e.Bounds.Files)))
	}
	// It counts all processes of a user: in a namespace of the user, or with a user of its own, these are the executor's.
	if e.Bounds.Processes > 0 && e.Enclosed && (e.UID != 0 || os.Geteuid() != 0) {
		err = errors.Join(err, set(unix.RLIMIT_NPROC, uint64(e.Bounds.Processes)+ownThreads))
	}
	if err != nil {
		return fmt.Errorf("setting its limits: %w", err)
	}
	return nil
}

// ownThreads is how many threads a supervisor may have: in a user namespace, they count against the limit.
const ownThreads = 64

// spawn starts a program in the enclosure. The kernel kills the program when the thread that started it ends, so the
// thread waits for all its processes.
func (e enclosure) spawn(path string, args []string, attr *os.ProcAttr) (*child, error) {
	type result struct {
		child *child
		err   error
	}
	started := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		c, reap, err := e.spawnHere(path, args, attr)
		started <- result{c, err}
		if err == nil {
			reap()
		}
	}()
	r := <-started
	return r.child, r.err
}

func (e enclosure) spawnHere(path string, args []string, attr *os.ProcAttr) (*child, func(), error) {
	c := &child{usage: usageOfChildren, killAll: killDescendants}
	attr.Sys = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := e.limit(); err != nil {
		return nil, nil, err
	}
	if e.Cgroup != "" {
		err := e.Cgroup.make(e.Bounds)
		if err != nil {
			return nil, nil, &enclosureError{err}
		}
		dir, err := e.Cgroup.open()
		if err != nil {
			return nil, nil, &enclosureError{err}
		}
		defer dir.Close()
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(dir.Fd())
	}
	if e.Enclosed {
		proc, err := e.enter()
		if err != nil {
			return nil, nil, &enclosureError{err}
		}
		c.usage = func() (use, error) { return usageOfAll(proc) }
		c.killAll = func() { _ = unix.Kill(-1, unix.SIGKILL) } // all but this one, the first of the namespace
		if e.UID != 0 {
			attr.Sys.Credential = &syscall.Credential{Uid: e.UID, Gid: e.UID}
		}
	}
	var err error
	if c.Process, err = os.StartProcess(path, args, attr); err != nil {
		return nil, nil, err
	}
	reap := c.reaper()
	return c, reap, nil
}

// usageOfAll adds up the processes of a pid namespace, without the first one, the supervisor.
func usageOfAll(proc *os.Root) (use, error) {
	dir, err := proc.Open(".")
	if err != nil {
		return use{}, err
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close()
	if err != nil {
		return use{}, err
	}
	var total use
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' || name == "1" {
			continue
		}
		if status, err := proc.ReadFile(name + "/status"); err == nil { // else it has exited
			total.add(status)
		}
	}
	return total, nil
}

// usageOfChildren adds up all descendants of this process.
func usageOfChildren() (use, error) {
	var total use
	for _, pid := range descendants() {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			total.add(status)
		}
	}
	return total, nil
}

// add adds what /proc/PID/status tells about a process.
func (u *use) add(status []byte) {
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "RssAnon", "RssShmem", "VmSwap":
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			u.memory += n << 10
		case "Threads":
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			u.processes += n
		}
	}
}

// descendants returns the children of this process, their children, and so on.
func descendants() []int {
	var all []int
	for todo := []int{os.Getpid()}; len(todo) > 0; todo = todo[1:] {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", todo[0]))
		for _, path := range lists {
			list, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(list)) {
				if pid, err := strconv.Atoi(field); err == nil {
					all, todo = append(all, pid), append(todo, pid)
				}
			}
		}
	}
	return all
}

// killDescendants stops all descendants first, so that they start no more.
func killDescendants() {
	for _, sig := range []syscall.Signal{unix.SIGSTOP, unix.SIGKILL} {
		for _, pid := range descendants() {
			_ = unix.Kill(pid, sig)
		}
	}
}

// killMarked kills the processes whose environment mentions an executor's own directory, as it does unless they have
// replaced it. No supervisor is left that could end them; only those that were not enclosed can be alive. It looks
// several times: a process that starts a program has no environment for a moment, and others may start more.
func killMarked(own string) error {
	for clean, looks := 0, 0; clean < cleanLooks && looks < maxLooks; looks++ {
		killed, err := killMarkedOnce([]byte("=" + own + "/"))
		if err != nil {
			return err
		}
		if clean++; killed {
			clean = 0
		}
		time.Sleep(killEvery)
	}
	return nil
}

const (
	// cleanLooks is how many looks in a row must find nothing.
	cleanLooks = 3
	// maxLooks bounds all looks.
	maxLooks = 100
)

func killMarkedOnce(mark []byte) (killed bool, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile("/proc/" + entry.Name() + "/environ")
		if err == nil && bytes.Contains(environ, mark) {
			killed = unix.Kill(pid, unix.SIGKILL) == nil || killed
		}
	}
	return killed, nil
}

// machineMemory is the memory of the machine in bytes; 0 if it is unknown.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit) //nolint:unconvert // the types depend on the platform
}

package process

import (
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

const (
	// answerFD is the descriptor on which a supervisor answers Start about the order on its standard input.
	answerFD = 3
	// leashFD is the descriptor of Config.Leash.
	leashFD = 4
	// answerLimit limits an answer, in bytes.
	answerLimit = 64 << 10
)

// An answer is a supervisor's only message to Start.
type answer struct {
	Verdict verdict `json:"verdict"`
	// Errno and Message explain why the program was not started.
	Errno   syscall.Errno `json:"errno,omitempty"`
	Message string        `json:"message,omitempty"`
}

type verdict string

const (
	started verdict = "started" // the program is running
	taken   verdict = "taken"   // it is running or has run under another supervisor
	failed  verdict = "failed"  // nothing was started; another supervisor may try
	unfit   verdict = "unfit"   // the system could not start the program; there is an exit
)

// Supervise implements `dagyo supervise DIR`: it runs the executor in directory dir until its end, and
// returns the exit code of the supervisor itself: 0 if it succeeded or another supervisor is responsible,
// 1 if it failed, 2 if it was not started by a Backend. It handles SIGTERM, SIGINT, SIGHUP and SIGQUIT of
// the whole process and must be called at most once per process.
func Supervise(dir string) int {
	if dir == trial {
		return try()
	}
	// Before taking the lock, because any process that sees the lock may send SIGTERM.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	var o order
	if err := gob.NewDecoder(os.Stdin).Decode(&o); err != nil {
		complain(fmt.Errorf("only the spawner starts a supervisor: reading the order: %w", err))
		return 2
	}
	_ = os.Stdin.Close() // the last reference to the order, with its secrets
	s := &supervisor{home: home(dir), order: o, line: newLine()}
	if err := errors.Join(closeOnExec(), guard()); err != nil {
		complain(err)
		return 1
	}
	if err := s.run(signals); err != nil {
		complain(err)
		return 1
	}
	return 0
}

// closeOnExec lets the program inherit none of our descriptors: neither the leash nor what Dagyo has inherited itself, from
// the shell that started it.
func closeOnExec() error {
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return fmt.Errorf("list the open descriptors: %w", err)
	}
	for _, f := range open {
		if n, err := strconv.Atoi(f.Name()); err == nil && n > syscall.Stderr {
			syscall.CloseOnExec(n)
		}
	}
	return nil
}

// complain writes to supervisor.log, which is the supervisor's standard error.
func complain(err error) { fmt.Fprintln(os.Stderr, "dagyo supervise:", err) }

// A line carries the answer to Start, once.
type line struct{ file *os.File }

func newLine() *line {
	syscall.CloseOnExec(answerFD)
	return &line{file: os.NewFile(answerFD, "answer")}
}

// say sends the answer and closes the line; later answers are dropped. Start may have exited: the executor
// continues without it.
func (l *line) say(a answer) {
	_ = json.NewEncoder(l.file).Encode(a)
	_ = l.file.Close()
}

type supervisor struct {
	home  home
	order order
	line  *line
}

// loose reports whether the process that the executor must not outlive has exited: it had the other end of a pipe.
func (s *supervisor) loose() bool {
	pipe := []unix.PollFd{{Fd: leashFD, Events: unix.POLLIN}}
	_, err := unix.Poll(pipe, 0)
	return s.order.Leashed && err == nil && pipe[0].Revents&unix.POLLHUP != 0
}

func (s *supervisor) run(signals <-chan os.Signal) error {
	a, err := s.runLocked(signals)
	// After releasing the lock: Start removes the directory of a program that cannot run.
	s.line.say(a)
	return err
}

// runLocked does everything that needs the lock. Its answer matters only if the program was not started.
func (s *supervisor) runLocked(signals <-chan os.Signal) (answer, error) {
	lock, err := s.home.takeLock()
	if err == nil {
		defer lock.Close()
		err = s.home.takeClaim("taken\n")
	}
	if errors.Is(err, errTaken) {
		return answer{Verdict: taken}, nil
	}
	if err != nil {
		return answer{Verdict: failed, Message: err.Error()}, err
	}
	out := newOutput(s.home, contract.DetailLimit)
	program, err := s.start(out)
	if err != nil {
		out.finish()
		return s.giveUp(err)
	}
	s.line.say(answer{Verdict: started})
	exit := s.attend(program, signals)
	// Processes that the program leaves end with it, as in a container.
	if err := program.endAll(killPatience); err != nil {
		complain(err)
	}
	exit.Reason = s.order.Enclosure.explain(exit)
	if err := s.order.Enclosure.Cgroup.remove(); err != nil {
		complain(err)
	}
	exit.Detail = out.finish()
	return answer{}, s.record(exit)
}

// start starts the program as the leader of its own process group.
func (s *supervisor) start(out *output) (*child, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	stdout, err := out.stdout()
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := out.stderr()
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	return s.order.Enclosure.spawn(s.order.Path, s.order.Args, &os.ProcAttr{
		Dir:   s.order.Dir,
		Env:   s.order.Env,
		Files: []*os.File{null, stdout, stderr},
	})
}

// giveUp records that the program could not be started.
func (s *supervisor) giveUp(err error) (answer, error) {
	a := answer{Verdict: unfit, Message: err.Error()}
	var notEnclosed *enclosureError
	if !errors.As(err, &notEnclosed) { // that would not be the program's error
		_ = errors.As(err, &a.Errno)
	}
	return a, s.record(backend.Exit{Code: -1, Reason: "it could not be started: " + err.Error()})
}

// attend passes signals on to the program, and watches its limits, until it ends.
func (s *supervisor) attend(program *child, signals <-chan os.Signal) backend.Exit {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	bounds := s.order.Enclosure.Bounds
	measure := time.NewTimer(minPause)
	defer measure.Stop()
	if s.order.Enclosure.Cgroup != "" {
		measure.Stop() // the kernel does it
	}
	end := ending{program: program, killDelay: s.order.KillDelay}
	lost := false
	for {
		select {
		case w := <-program.ended:
			return s.describe(w, end.killed)
		case sig := <-signals:
			s.obey(sig, &end)
		case <-look.C:
			end.remind()
			if s.loose() {
				end.giveUp()
			}
			if !lost && s.home.gone() {
				lost = true
				end.hasten(min(s.order.Grace.D(), lostGrace))
			}
		case <-measure.C:
			u, err := program.usage()
			if why := bounds.exceeded(u); err == nil && why != "" {
				end.kill(why)
			}
			measure.Reset(bounds.pause(u))
		case <-end.next:
			end.insist()
		}
	}
}

// obey performs the action for a signal to the supervisor. SIGHUP is ignored.
func (s *supervisor) obey(sig os.Signal, end *ending) {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT:
		end.drain(s.order.Grace.D())
	case syscall.SIGQUIT:
		end.giveUp()
	}
}

const (
	// lookEvery is the interval at which a supervisor checks whether its directory was removed, and its leash.
	lookEvery = time.Second
	// lostGrace limits the grace period of an executor whose directory was removed: no spawner knows
	// it any more, so nothing else would ever end it.
	lostGrace = time.Minute
)

// An ending is the progress of ending a program: SIGTERM; another SIGTERM at the end of the grace period; then SIGKILL
// for it and everything that it has started. Between the last two, an executor reports the jobs that it gives up.
type ending struct {
	program   *child
	killDelay time.Duration
	asked     time.Time        // when the first SIGTERM was sent
	next      <-chan time.Time // when to insist; nil before the first SIGTERM
	late      bool             // the second SIGTERM was sent
	killed    string           // why it was killed, if it was
}

// drain asks the program to exit, the first time it is called.
func (e *ending) drain(grace time.Duration) {
	if e.next == nil {
		e.asked, e.next = time.Now(), time.After(grace)
		_ = e.program.Signal(syscall.SIGTERM)
	}
}

// signalGap keeps two SIGTERMs from counting as one, as they may if sent at the same instant.
const signalGap = 100 * time.Millisecond

// giveUp asks the program to exit for the last time, as soon as that cannot count as the first time.
func (e *ending) giveUp() {
	switch {
	case e.late:
	case e.next == nil:
		e.drain(signalGap)
	default:
		e.next = time.After(signalGap - time.Since(e.asked))
	}
}

// hasten asks the program to exit and starts a new grace period.
func (e *ending) hasten(grace time.Duration) {
	if e.late {
		return
	}
	e.next = nil
	e.drain(grace)
}

// insist takes the next step.
func (e *ending) insist() {
	if !e.late {
		e.late, e.next = true, time.After(e.killDelay)
		_ = e.program.Signal(syscall.SIGTERM)
		return
	}
	e.kill("it did not exit when told to")
}

// remind repeats the last SIGTERM: on a busy machine two of them may have counted as one.
func (e *ending) remind() {
	if e.late {
		_ = e.program.Signal(syscall.SIGTERM)
	}
}

// kill ends the program, with everything that it has started, at once.
func (e *ending) kill(why string) {
	if e.killed == "" {
		e.killed = why
	}
	e.program.killAll()
}

// describe explains how the program ended. killed is the reason why it was killed, if it was.
func (s *supervisor) describe(w waited, killed string) backend.Exit {
	ws := w.status
	if !w.known {
		return backend.Exit{Code: -1, Reason: "it exited, and the system did not report its status"}
	}
	if !ws.Signaled() {
		code := ws.ExitStatus()
		return backend.Exit{Code: code, Reason: contract.PlainEnding(code, "")}
	}
	exit := backend.Exit{Code: -1, Signal: signalName(ws.Signal())}
	exit.Reason = contract.PlainEnding(-1, exit.Signal)
	if killed != "" {
		exit.Reason = "it was killed: " + killed
	}
	return exit
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(sig))
}

func (s *supervisor) record(exit backend.Exit) error {
	exit.Instance = s.order.Instance
	return writeJSON(s.home.exit(), exit)
}

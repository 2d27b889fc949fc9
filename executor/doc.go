// Package executor is the SDK for authors of progdefs in Go.
//
// A progdef is a function over typed ports. Declare the ports, write the function, and hand both to
// [Main]:
//
//	var (
//		name     = executor.Input("name", executor.String)
//		greeting = executor.Output("greeting", executor.String)
//	)
//
//	func greet(ctx context.Context, job *executor.Job) error {
//		for n, err := range name.All(ctx, job) {
//			if err != nil {
//				return err
//			}
//			if err := greeting.Send(ctx, job, "hello "+n); err != nil {
//				return err
//			}
//		}
//		return nil
//	}
//
//	func main() {
//		executor.Main(executor.Program{Name: "greet", Ports: []executor.Port{name, greeting}, Run: greet})
//	}
//
// The program prints its own progdef, so the ports are declared once:
//
//	./greet describe | dagyo progdef apply -
//
// The function is called once for every job, up to DAGYO_SLOTS times at once. Returning nil ends
// every output and the job is done; returning an error makes the job panic, and with it the whole
// flow. A Go panic and a record that does not decode do the same. The context ends when the flow is
// stopped: return soon. A function that does not return within [Config.StopGrace] costs its
// executor: it takes no more jobs and exits when its other jobs are done.
//
// The context is also canceled, with the cause [ErrEnded], by the first record of a stream that the flow
// connects to the node's stop port. The outputs are then ended whatever the function returns.
//
// A generic program declares [Program.TypeParams] and uses [Any], [ResultOf] and [ListOf] for its ports.
// A program that takes any ports sets [Program.Dynamic]. Package shim makes a program of any command.
//
// [Job.Log] is for the users of the flow, who read it with dagyo logs.
//
// The SDK does the rest: it claims jobs so that none starts twice, runs the streams and their flow
// control, sends heartbeats, counts records, and drains on SIGTERM.
package executor

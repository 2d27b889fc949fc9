package access

// A Role is what a NATS client is for.
type Role string

// The roles of persons and their programs.
const (
	Viewer    Role = "viewer"    // reads events, statuses and the catalogue
	User      Role = "user"      // also submits, feeds, reads and cancels flows
	Publisher Role = "publisher" // also changes the catalogue
	Operator  Role = "operator"  // also deletes events, and looks after the services
)

// Executor is the role of an executor, which runs the jobs of one revision.
const Executor Role = "executor"

// Persons returns the roles of persons.
func Persons() []Role { return []Role{Viewer, User, Publisher, Operator} }

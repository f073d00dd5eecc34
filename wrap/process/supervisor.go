package process

import "syscall"

// Supervisor owns the children and the signals of this program. There is one, made at the start of the verbs that
// run commands, before anything waits for a slot.
type Supervisor struct{}

// NewSupervisor takes over the signals whose default is to end a process: they come from Signals, or
// go to the command with Forward. Signals of job control keep their default until such a command runs.
func NewSupervisor() (*Supervisor, error) { panic("not yet") }

// Start starts c. Signals that nobody has received from Signals yet go to a command with Forward.
// An error means that nothing was started; errors.As finds the syscall.Errno, see StartCode.
func (s *Supervisor) Start(c Command) (*Process, error) { panic("not yet") }

// Signals tells of signals that no command with Forward takes: before it starts (leave the queue, then DieOf) and
// after it ended (somebody does not want to wait for the release). It is never closed. Signals that were ignored when
// this program started are left out; those that were blocked wait for the command. Many of a kind that nobody has received
// yet may become two.
func (s *Supervisor) Signals() <-chan syscall.Signal { panic("not yet") }

// Close ends what the Supervisor does, when all commands are Done, and gives the signals back to their defaults.
func (s *Supervisor) Close() { panic("not yet") }

// DieOf ends this process by sig, without a core file, so that its parent sees what it would have seen of
// the command. Where no signal can do that (process 1 of a container, or an ignored or harmless one) it returns
// 128+sig, the code to exit with.
func DieOf(sig syscall.Signal) int { panic("not yet") }

package proc

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
)

func TestStatIsReadWhateverTheNameOfTheProcess(t *testing.T) {
	rest := " 2 3 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10"
	want := Process{PID: 12, Parent: 2, Group: 3, Session: 4, State: 'S', Threads: 1, Start: 777}
	for _, name := range []string{"sh", "a b", ") R 9 9 9", "(", "", "\n)"} {
		if got := parse("12 (" + name + ") S" + rest); got != want {
			t.Errorf("name %q: %+v, want %+v", name, got, want)
		}
	}
	for _, broken := range []string{"", "12", "12 (sh", "12 (sh) S 1", "x (sh) S" + rest, "12 (sh) S a" + rest} {
		if got := parse(broken); got.PID != 0 {
			t.Errorf("%q: %+v, want nothing", broken, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("12 (sh) S 2 3 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10")
	f.Add(") (")
	f.Fuzz(func(t *testing.T, stat string) { parse(stat) })
}

func TestAProcessIsSeenUntilItHasEnded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc here; nothing can be installed for it")
	}
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if p := Of(pid); p.PID != pid || p.Parent != os.Getpid() || p.Start == 0 {
		t.Errorf("%+v, want %d, a child of %d", p, pid, os.Getpid())
	}
	if numbers := Numbers(pid); len(numbers) == 0 || numbers[0] != pid {
		t.Errorf("its numbers are %v, want %d first", numbers, pid)
	}
	if !slices.Contains(All(), pid) {
		t.Error("it is not among all")
	}
	exit, err := OpenExit(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer exit.Close()
	stdin.Close()
	if !AwaitExit(exit) {
		t.Error("its end is not seen")
	}
	cmd.Wait()
	if p, numbers := Of(pid), Numbers(pid); p != (Process{}) || numbers != nil {
		t.Errorf("after its end: %+v, %v", p, numbers)
	}
}

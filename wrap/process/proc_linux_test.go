package process

import "testing"

func TestStatIsReadWhateverTheNameOfTheProcess(t *testing.T) {
	rest := " 2 3 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10"
	want := info{pid: 12, parent: 2, group: 3, session: 4, state: 'S', threads: 1, start: 777}
	for _, name := range []string{"sh", "a b", ") R 9 9 9", "(", "", "\n)"} {
		if got := parseStat("12 (" + name + ") S" + rest); got != want {
			t.Errorf("name %q: %+v, want %+v", name, got, want)
		}
	}
	for _, broken := range []string{"", "12", "12 (sh", "12 (sh) S 1", "x (sh) S" + rest, "12 (sh) S a" + rest} {
		if got := parseStat(broken); got.pid != 0 {
			t.Errorf("%q: %+v, want nothing", broken, got)
		}
	}
}

func TestAProcessWhoseFirstThreadHasExitedLives(t *testing.T) {
	for threads, dead := range map[string]bool{"1": true, "2": false} {
		i := parseStat("12 (sh) Z 2 3 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 " + threads + " 0 777 9 10")
		if i.dead() != dead {
			t.Errorf("a zombie of %s threads: dead %t", threads, i.dead())
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("12 (sh) S 2 3 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10")
	f.Add(") (")
	f.Fuzz(func(t *testing.T, stat string) { parseStat(stat) })
}

package process

import "testing"

func TestStatIsReadWhateverTheNameOfTheProcess(t *testing.T) {
	rest := " 2 3 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10"
	want := info{pid: 12, parent: 2, group: 3, session: 4, state: 'S', start: 777}
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

func FuzzParseStat(f *testing.F) {
	f.Add("12 (sh) S 2 3 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10")
	f.Add(") (")
	f.Fuzz(func(t *testing.T, stat string) { parseStat(stat) })
}

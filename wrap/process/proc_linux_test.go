package process

import "testing"

func TestAProcessWhoseFirstThreadHasExitedLives(t *testing.T) {
	for threads, dead := range map[int]bool{1: true, 2: false} {
		if i := (info{pid: 12, state: 'Z', threads: threads}); i.dead() != dead {
			t.Errorf("a zombie of %d threads: dead %t", threads, i.dead())
		}
	}
}

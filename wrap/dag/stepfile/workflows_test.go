package stepfile

import (
	"path/filepath"
	"testing"
)

func TestTheWorkflowsParse(t *testing.T) {
	for name, want := range map[string]int{"blast": 43, "rnaseq": 197, "1000genome": 260} {
		f, warnings, err := Read(filepath.Join("..", "testdata", "workflows", name+".yaml"), Options{})
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %v", name, err, warnings)
		}
		if len(f.Steps) != want {
			t.Errorf("%s has %d steps, not %d", name, len(f.Steps), want)
		}
	}
}

package etcd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// modelled are the transactions that the model of the protocol has. The others grant nothing and move no gate; each
// says why it cannot break what the model shows.
func modelled() (in []string, out map[string]string) {
	for a := grants; a <= shuts; a++ {
		in = append(in, a.String())
	}
	return in, map[string]string{
		"refuse":   "it takes a waiting claim out, as its withdrawal does",
		"withdraw": "it takes a waiting claim out: the model's end of a client that waits",
		"release":  "it deletes, and makes room alone; the model has it as a step",
		"remember": "it deletes, and lowers the epochs that its own grant has written; the model has it as a step",
		"waited":   "it rewrites a waiting record, and the gatekeeper compares its revision",
		"aside":    "it deletes slots, and makes room alone",
		"up":       "it makes a waiting claim of one that is aside, as wait does",
		"ask":      "it grants nothing: the owner does what is asked",
		"bump":     "it rewrites a waiting record, and the gatekeeper compares its revision",
		"drop":     "it deletes, and makes room alone",
		"fit":      "it moves starts of a rate to leases of the period to be set; the settings compare that none was added",
		"settings": "every grant compares that the settings are those it was decided by",
		"trim":     "it deletes the history, which decides nothing",
		"doctor":   "it writes a key that nobody reads",
	}
}

func TestEveryTransactionOfTheCodeIsInTheModelOrSaysWhyNot(t *testing.T) {
	in, out := modelled()
	found := map[string]bool{}
	for name := range transactionNames(t) {
		found[name] = true
		if _, told := out[name]; !told && !slices.Contains(in, name) {
			t.Errorf("the transaction %q is neither in the model nor does it say why not", name)
		}
	}
	for name := range out {
		in = append(in, name)
	}
	for _, name := range in {
		if !found[name] {
			t.Errorf("the code has no transaction %q any more", name)
		}
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for name := range found {
		if !strings.Contains(string(doc), name) {
			t.Errorf("doc.go does not tell of the transaction %q", name)
		}
	}
}

// transactionNames are the words by which the code sends transactions: the names that commit and take are given, and
// what the functions return that choose between two.
func transactionNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if name, err := strconv.Unquote(lit.Value); err == nil && name != "" {
				names[name] = true
			}
		}
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok {
					switch {
					case (f.Sel.Name == "commit" || f.Sel.Name == "take") && len(n.Args) > 1:
						add(n.Args[1])
					case f.Sel.Name == "change" && len(n.Args) > 2:
						add(n.Args[2])
					}
				}
			case *ast.FuncDecl:
				if n.Name.Name == "moveName" || n.Name.Name == "leaving" {
					ast.Inspect(n.Body, func(n ast.Node) bool {
						if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) > 0 {
							add(r.Results[0])
						}
						return true
					})
				}
			}
			return true
		})
	}
	return names
}

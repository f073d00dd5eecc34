package yamlread

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"gopkg.in/yaml.v3"
)

// MaxSize is the size in bytes beyond which a file is refused.
const MaxSize = 16 << 20

// Document is a YAML file and the problems found in it so far. It is not for several goroutines at once.
type Document struct {
	name     string
	text     string // without byte order mark
	source   []string
	root     *yaml.Node // nil after a fault that leaves nothing to walk
	problems []*Problem
	warnings []*Problem
	seen     map[placed]bool
	dropped  int
}

// ReadFile reads and parses a file, which may be a pipe. It fails, naming the file, where there is nothing to parse.
// A directory is such a failure; a file beyond size bytes, at most MaxSize, is a problem of the document.
func ReadFile(name string, size int64) (*Document, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return Read(name, file, size)
}

// Read is ReadFile for a file that is open. name is what its problems call it.
func Read(name string, file io.Reader, size int64) (*Document, error) {
	data, err := io.ReadAll(io.LimitReader(file, size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > size {
		d := &Document{name: name}
		d.noteSize(size)
		return d, nil
	}
	return Parse(name, data), nil
}

// Parse reads a document. name is what its problems call the file. The data may be empty: the root is null then.
func Parse(name string, data []byte) *Document {
	d := &Document{name: name}
	if len(data) > MaxSize {
		d.noteSize(MaxSize)
		return d
	}
	d.text = string(bytes.TrimPrefix(data, []byte("\ufeff")))
	if !d.checkText() {
		return d
	}
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(d.text)))
	root, err := decodeNode(decoder)
	switch {
	case errors.Is(err, io.EOF):
		d.root = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}
		return d
	case err != nil:
		d.noteSyntax(err)
		return d
	}
	second, err := decodeNode(decoder)
	switch {
	case err == nil:
		d.note(second.Line, second.Column, 1, "a second document begins here", "keep one document in a file")
	case !errors.Is(err, io.EOF):
		d.noteSyntax(err)
		return d
	}
	if d.inspect(root) {
		d.root = root
	}
	return d
}

func (d *Document) noteSize(size int64) {
	d.note(1, 1, 1, fmt.Sprintf("the file is larger than %d KiB", size>>10), "")
}

// decodeNode returns the content of the next document. The library reports faults of its own by panics.
func decodeNode(decoder *yaml.Decoder) (node *yaml.Node, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			node, err = nil, fmt.Errorf("not readable as YAML: %v", fault)
		}
	}()
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return nil, errors.New("not readable as YAML: no document")
	}
	return document.Content[0], nil
}

// Name is the file's name as its problems give it.
func (d *Document) Name() string { return d.name }

// Root is the value of the whole document: null for an empty file, absent where the file cannot be read as YAML.
func (d *Document) Root() Value {
	if d.root == nil {
		return Value{doc: d}
	}
	return d.value(d.root, "the file")
}

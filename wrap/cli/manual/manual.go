// Package manual is the manual of limit: Markdown files that are read in the repository, shown by limit help TOPIC, and
// made into man pages by scripts/release.sh.
package manual

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.md
var pages embed.FS

// Topic is one page of the manual.
type Topic struct {
	Name  string // step-file; of the file step-file.md
	Title string // its first line, without the #
	Text  string // the page, as Markdown
}

// Topics returns all pages in the order of their names.
func Topics() []Topic {
	files, err := pages.ReadDir(".")
	if err != nil {
		panic(fmt.Sprintf("the embedded manual cannot be read: %v", err)) // the files are part of the program
	}
	var topics []Topic
	for _, f := range files {
		topic, _ := Find(strings.TrimSuffix(f.Name(), ".md"))
		topics = append(topics, topic)
	}
	return topics
}

// Find returns the page of a name. limit.yaml and limit-etcd, the names of man pages, work too.
func Find(name string) (Topic, bool) {
	switch name = strings.TrimPrefix(name, "limit-"); name {
	case "limit.yaml":
		name = "config"
	case "dag":
		name = "step-file"
	}
	text, err := pages.ReadFile(name + ".md")
	if err != nil {
		return Topic{}, false
	}
	title, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
	return Topic{Name: name, Title: title, Text: string(text)}, true
}

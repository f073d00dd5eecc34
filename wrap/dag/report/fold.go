package report

import (
	"fmt"
	"strings"
	"time"
)

// Fold is how a CI system folds parts of a log.
type Fold int

const (
	NoFold Fold = iota
	GitHub
	GitLab
)

// DetectFold finds the CI system that the environment is of.
func DetectFold(getenv func(string) string) Fold {
	switch {
	case getenv("GITHUB_ACTIONS") == "true":
		return GitHub
	case getenv("GITLAB_CI") == "true":
		return GitLab
	}
	return NoFold
}

// open is the head of a part that can be folded.
func (f Fold) open(head, id string, now time.Time) string {
	switch f {
	case GitHub:
		return "::group::" + head + "\n"
	case GitLab:
		return fmt.Sprintf("\x1b[0Ksection_start:%d:%s[collapsed=true]\r\x1b[0K%s\n", now.Unix(), section(id), head)
	}
	return head + "\n"
}

func (f Fold) close(id string, now time.Time) string {
	switch f {
	case GitHub:
		return "::endgroup::\n"
	case GitLab:
		return fmt.Sprintf("\x1b[0Ksection_end:%d:%s\r\x1b[0K\n", now.Unix(), section(id))
	}
	return ""
}

// section is a name that GitLab takes.
func section(id string) string {
	return "step_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, id)
}

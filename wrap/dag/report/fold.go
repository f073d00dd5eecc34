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

// DetectFold finds the CI system that the environment is of. What a step of a dag runs is in a part of that already:
// there are no parts within parts.
func DetectFold(getenv func(string) string) Fold {
	switch {
	case getenv("LIMIT_STEP") != "":
		return NoFold
	case getenv("GITHUB_ACTIONS") == "true":
		return GitHub
	case getenv("GITLAB_CI") == "true":
		return GitLab
	}
	return NoFold
}

// open is the head of a part that can be folded.
func (f Fold) open(head, id string, started time.Time) string {
	switch f {
	case GitHub:
		return "::group::" + head + "\n"
	case GitLab:
		return fmt.Sprintf("\x1b[0Ksection_start:%d:%s[collapsed=true]\r\x1b[0K%s\n", started.Unix(), section(id), head)
	}
	return head + "\n"
}

func (f Fold) close(id string, ended time.Time) string {
	switch f {
	case GitHub:
		return "::endgroup::\n"
	case GitLab:
		return fmt.Sprintf("\x1b[0Ksection_end:%d:%s\r\x1b[0K\n", ended.Unix(), section(id))
	}
	return ""
}

// failed says to the CI system that a step has failed, and how.
func (f Fold) failed(id, how string) string {
	if f != GitHub {
		return ""
	}
	property := strings.NewReplacer("%", "%25", ":", "%3A", ",", "%2C")
	return fmt.Sprintf("::error title=%s::%s\n", property.Replace(id), strings.ReplaceAll(id+": "+how, "%", "%25"))
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

package backend

import "strings"

// Finding is one thing that was looked at, for limit doctor: a fact, and a remedy where it is not as it should be.
type Finding struct {
	Level  Level  `json:"level"`
	About  string `json:"about"` // directory, inotify, endpoint …
	Fact   string `json:"fact"`
	Remedy string `json:"remedy,omitempty"`
}

// Level says how bad a Finding is.
type Level string

const (
	Fine    Level = "ok"
	Warning Level = "warning" // it works, but not as well or not for everybody
	Broken  Level = "broken"  // unusable: nothing can be granted
)

// FindingOf makes a Finding of an error, whose text is "fact; remedy".
func FindingOf(level Level, about string, err error) Finding {
	f := Finding{Level: level, About: about, Fact: err.Error()}
	if at := strings.LastIndex(f.Fact, "; "); at >= 0 {
		f.Fact, f.Remedy = f.Fact[:at], f.Fact[at+2:]
	}
	return f
}

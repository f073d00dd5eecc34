package local

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"limit/backend"
)

// The settings live in the file settings, as JSON and synced; the image has a copy, so that a change need not parse
// them.

// settingsFile is the file's content. Fields that it does not have here survive a rewrite.
type settingsFile struct {
	Version  int              `json:"version"`
	Needs    []string         `json:"needs,omitempty"` // features; see backend.Lacking
	Settings backend.Settings `json:"settings"`
}

// A file of the version needyVersion has needs. The first releases did not know of needs: they refuse it for its
// version.
const needyVersion = formatVersion + 1

// readSettings reads the file settings; set is false where there is none. It fails where they need a feature that is
// lacking.
func (s *Store) readSettings() (settings backend.Settings, set bool, err error) {
	f, _, err := s.readSettingsFile()
	return f.Settings, f.Version != 0, err
}

// readSettingsFile returns the file as it is besides; its version is 0 where there is none.
func (s *Store) readSettingsFile() (f settingsFile, content []byte, err error) {
	f.Settings = backend.NewSettings()
	name := s.file("settings")
	content, err = readFileAt(s.fd, "settings")
	if notFound(err) {
		return f, nil, nil
	}
	if err != nil {
		return f, nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var version struct{ Version int }
	if json.Unmarshal(content, &version) == nil && version.Version > needyVersion {
		return f, nil, newerError(name)
	}
	if err := json.Unmarshal(content, &f); err != nil || f.Version < 1 {
		return f, nil, fmt.Errorf("%s is damaged: %w; remove it and set the limits again", name,
			cmp.Or(err, errVersion))
	}
	if err := backend.Lacking(f.Needs); err != nil {
		return f, nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, content, nil
}

// checkNeeds fails where the file settings needs a feature that is lacking. Each process asks when it opens the store;
// from then on the header says whether to ask again.
func (s *Store) checkNeeds() error {
	content, err := readFileAt(s.fd, "settings")
	if err != nil || !bytes.Contains(content, []byte(`"needs"`)) {
		return nil // who needs the settings reads them again
	}
	_, _, err = s.readSettings()
	return err
}

var errVersion = errors.New("it has no version")

// writeSettings replaces the file settings and calls certain once the new content is on the disk under another name,
// before it is renamed.
func (s *Store) writeSettings(settings backend.Settings, certain func() error) error {
	_, was, err := s.readSettingsFile()
	if err != nil {
		return err
	}
	next := settingsFile{formatVersion, settings.Needs(), settings}
	if len(next.Needs) > 0 {
		next.Version = needyVersion
	}
	compact, err := backend.Rewrite(was, next)
	if err != nil {
		return fmt.Errorf("encoding settings: %w", err)
	}
	var b bytes.Buffer
	json.Indent(&b, compact, "", "  ") // compact is JSON
	b.WriteByte('\n')
	if err := s.writeDurably("settings", b.Bytes(), certain); err != nil {
		return fmt.Errorf("writing %s: %w", s.file("settings"), s.advise(err))
	}
	return nil
}

func appendSettings(b []byte, s *backend.Settings) []byte {
	b = appendBool(b, s.DefaultLimit != nil)
	if s.DefaultLimit != nil {
		b = binary.AppendVarint(b, int64(*s.DefaultLimit))
	}
	b = appendString(b, string(s.Granularity))
	b = binary.AppendUvarint(b, uint64(len(s.Pools)))
	for _, name := range sortedKeys(s.Pools) {
		p := s.Pools[name]
		b = appendString(b, name)
		b = binary.AppendVarint(b, int64(p.Limit))
		b = appendBool(b, p.Rate != nil)
		if p.Rate != nil {
			b = binary.AppendVarint(b, int64(p.Rate.Slots))
			b = binary.AppendVarint(b, int64(p.Rate.Period))
		}
	}
	b = binary.AppendVarint(b, int64(s.MaxRuns))
	b = binary.AppendUvarint(b, uint64(len(s.TagLimits)))
	for _, t := range s.TagLimits {
		b = appendString(b, t.Key)
		b = appendBool(b, t.Value != nil)
		if t.Value != nil {
			b = appendString(b, *t.Value)
		}
		b = appendBool(b, t.PerValue)
		b = binary.AppendVarint(b, int64(t.Limit))
	}
	b = binary.AppendVarint(b, int64(s.ReserveAfter))
	var flags byte
	if s.HideCommands {
		flags |= settingsHide
	}
	if s.Strict {
		flags |= settingsStrict
	}
	if len(s.Paused) > 0 {
		flags |= settingsPaused
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, int64(s.HistoryEntries))
	if len(s.Paused) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(s.Paused)))
	for _, limit := range sortedKeys(s.Paused) {
		p := s.Paused[limit]
		b = appendString(appendString(appendString(b, limit), p.By), p.Reason)
		b = binary.AppendVarint(b, p.At.Unix())
	}
	return b
}

// Flags of settings. Those that the first releases did not know need features, so such an image is not read there.
const (
	settingsHide = 1 << iota
	settingsStrict
	settingsPaused
)

func (d *decoder) settings() backend.Settings {
	var s backend.Settings
	if d.bool() {
		limit := int(d.varint())
		s.DefaultLimit = &limit
	}
	s.Granularity = backend.Granularity(d.string())
	for range d.count(1) {
		name := d.string()
		p := backend.Pool{Limit: int(d.varint())}
		if d.bool() {
			p.Rate = &backend.Rate{Slots: int(d.varint()), Period: time.Duration(d.varint())}
		}
		s.SetPool(name, p)
	}
	s.MaxRuns = int(d.varint())
	for range d.count(1) {
		t := backend.TagLimit{Key: d.string()}
		if d.bool() {
			value := d.string()
			t.Value = &value
		}
		t.PerValue = d.bool()
		t.Limit = int(d.varint())
		s.TagLimits = append(s.TagLimits, t)
	}
	s.ReserveAfter = time.Duration(d.varint())
	var flags byte
	if b := d.bytes(1); len(b) == 1 {
		flags = b[0]
	}
	s.HideCommands, s.Strict = flags&settingsHide != 0, flags&settingsStrict != 0
	s.HistoryEntries = int(d.varint())
	if flags&settingsPaused != 0 {
		s.Paused = map[string]backend.Pause{}
		for range d.count(1) {
			limit := d.string()
			s.Paused[limit] = backend.Pause{By: d.string(), Reason: d.string(), At: time.Unix(d.varint(), 0).UTC()}
		}
	}
	return s
}

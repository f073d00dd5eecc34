package local

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"limit/backend"
)

// The settings live in the file settings, as JSON and synced; the image has a copy, so that a change need not parse them.

// settingsFile is the file's content.
type settingsFile struct {
	Version  int              `json:"version"`
	Settings backend.Settings `json:"settings"`
}

// readSettings reads the file settings; set is false where there is none.
func (s *Store) readSettings() (settings backend.Settings, set bool, err error) {
	b, err := readFileAt(s.fd, "settings")
	if notFound(err) {
		return backend.NewSettings(), false, nil
	}
	if err != nil {
		return settings, false, fmt.Errorf("reading %s: %w", s.file("settings"), err)
	}
	f := settingsFile{Settings: backend.NewSettings()}
	if err := json.Unmarshal(b, &f); err != nil {
		return settings, false, fmt.Errorf("%s is damaged: %w; remove it and set the limits again", s.file("settings"), err)
	}
	if f.Version > formatVersion {
		return settings, false, newerError(s.file("settings"))
	}
	return f.Settings, true, nil
}

// writeSettings replaces the file settings and calls certain once the new content is on the disk under another name, before it is renamed.
func (s *Store) writeSettings(settings backend.Settings, certain func() error) error {
	b, err := json.MarshalIndent(settingsFile{formatVersion, settings}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding settings: %w", err)
	}
	if err := s.writeDurably("settings", append(b, '\n'), certain); err != nil {
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
	b = appendBool(b, s.HideCommands)
	return binary.AppendVarint(b, int64(s.HistoryEntries))
}

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
		if s.Pools == nil {
			s.Pools = map[string]backend.Pool{}
		}
		s.Pools[name] = p
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
	s.HideCommands = d.bool()
	s.HistoryEntries = int(d.varint())
	return s
}

package etcd

import (
	"encoding/json"
	"fmt"
	"time"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"

	"limit/backend"
)

// record is the value of claim/ID and of slot/DIMENSION/ID: what the rule needs of a claim and no more,
// for the gatekeeper reads everybody's.
type record struct {
	Format int `json:"format,omitempty"` // of what is deciding here; see recordFormat

	RunID     string            `json:"run,omitempty"`
	Pools     map[string]int    `json:"pools,omitempty"`
	Runs      int               `json:"runs,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
	Priority  int32             `json:"priority,omitempty"`
	Ancestors []string          `json:"ancestors,omitempty"`
	Within    *backend.Within   `json:"within,omitempty"` // of a claim that waits

	// Replaces is a claim that came with EnterOptions.Replace.
	Replaces bool `json:"replaces,omitempty"`

	// Seq is the arrival: 0 says that it is the revision at which the key was created.
	Seq int64 `json:"seq,omitempty"`
	// Aside is a claim out of the order.
	Aside bool `json:"aside,omitempty"`
	// Waited is how long the claim had waited by its owner's own clock when the record was written.
	Waited time.Duration `json:"waited,omitempty"`
	// Grant is set while the claim is held. Its token is made of the revision of the key: nothing changes the record of
	// a held claim.
	Grant *grant `json:"grant,omitempty"`
	// Refused says why limits set since have made the claim impossible; it has left the order.
	Refused *backend.ImpossibleError `json:"refused,omitempty"`
	// Gone is a claim given up by its owner while an earlier transaction of it may still be on its way:
	// the record keeps that from succeeding.
	Gone bool `json:"gone,omitempty"`
}

// recordFormat is the format of records that is written, and the newest that is read. A record that older programs may
// read without knowing all its fields keeps its format: they preserve those fields. 0 is the format of the first
// releases.
const recordFormat = wholeFormat

// wholeFormat is that of a waiting claim with backend.AllSlots, which the first releases would take for a number.
const wholeFormat = 1

type grant struct {
	Slots map[string][]int `json:"slots,omitempty"`
	At    time.Time        `json:"at"`
	Index int64            `json:"index,omitempty"` // among the grants of one transaction
}

// maxBatch is how many grants one transaction may hold.
const maxBatch = 1 << batchBits

const batchBits = 5

// token is the fencing token of a grant that was written at a revision: it grows with every grant, within a transaction
// too.
func (g *grant) token(revision int64) int64 { return revision<<batchBits | g.Index }

func recordOf(c *backend.Claim) record {
	r := record{Tags: c.Tags, Priority: c.Priority, Replaces: c.Replaces, Seq: c.Seq}
	r.settle(c)
	return r
}

// settle makes the record that of a claim which the rule has granted: it knows now which run the claim is of, and how
// many slots it has.
func (r *record) settle(c *backend.Claim) {
	r.RunID, r.Pools, r.Runs, r.Ancestors, r.Within = c.RunID, c.Pools, c.Runs, c.Ancestors, c.Within
	if r.Format = 0; c.Whole() {
		r.Format = wholeFormat
	}
}

// claim is the record as the rule wants it, a new value at each call.
func (r *record) claim(id string) *backend.Claim {
	return &backend.Claim{ID: id, RunID: r.RunID, Pools: r.Pools, Runs: r.Runs, Tags: r.Tags, Priority: r.Priority,
		Ancestors: r.Ancestors, Replaces: r.Replaces, Within: r.Within, Seq: r.Seq}
}

// sound fails for a record that the rule cannot count with: a panic here would be one of every gatekeeper.
func (r *record) sound() error {
	c := backend.Claim{Pools: r.Pools, Runs: r.Runs}
	if r.Grant != nil {
		c.Grant = &backend.Grant{}
	}
	return c.Sound()
}

// rewrite encodes r in place of the record that was read, the fields that a newer version has written in it included.
func rewrite(was []byte, r record) string {
	b, err := backend.Rewrite(was, r)
	if err != nil {
		return encode(r) // what was read could be read
	}
	return string(b)
}

// encode never fails: a record is made of plain values.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encoding %T: %v", v, err))
	}
	return string(b)
}

// seat is a record where it was found.
type seat struct {
	record
	id       string
	value    []byte
	revision int64 // of the last change: the token, while it is held
	lease    int64
	since    time.Duration // on this process's clock: when it began to wait, as far as is known
}

// unreadable is the error of a key whose value another program has written, or damaged. To remove the key of a claim
// whose command runs would give its slot away.
func unreadable(key []byte, err error) error {
	return fmt.Errorf("reading %s: %w; update limit on this machine if a newer one has written it, else remove it "+
		"with etcdctl del when no command runs under the limits of this namespace", key, err)
}

// readSeat decodes a record; errors name the key.
func readSeat(id string, kv *mvccpb.KeyValue) (*seat, error) {
	s := &seat{id: id, value: kv.Value, revision: kv.ModRevision, lease: kv.Lease}
	err := json.Unmarshal(kv.Value, &s.record)
	if s.Format > recordFormat {
		return nil, fmt.Errorf("%s has the format %d, of a newer limit; update limit on this machine", kv.Key, s.Format)
	}
	if err == nil {
		err = s.sound()
	}
	if err != nil {
		return nil, unreadable(kv.Key, err)
	}
	if s.Seq == 0 {
		s.Seq = kv.CreateRevision
	}
	return s, nil
}

// claim is the seat as the rule wants it, with its Grant if it is held.
func (s *seat) claim() *backend.Claim {
	c := s.record.claim(s.id)
	if s.Grant != nil {
		c.Grant = &backend.Grant{Token: s.Grant.token(s.revision), Slots: s.Grant.Slots, GrantedAt: s.Grant.At}
	}
	return c
}

// stands reports whether the rule knows the claim at all.
func (s *seat) stands() bool { return s.Refused == nil && !s.Gone }

// stored is the value of settings. By makes each writing unlike every other, so that who does not know whether
// its writing arrived can find out.
type stored struct {
	backend.Settings
	Needs []string `json:"needs,omitempty"` // features; see backend.Lacking
	By    stamp    `json:"by,omitzero"`

	value []byte // as it was read
}

// stamp is a random text. Settings that need features have it in a list: the first releases did not know of needs, and
// cannot read that.
type stamp struct {
	text  string
	needy bool
}

func (s stamp) MarshalJSON() ([]byte, error) {
	if s.needy {
		return json.Marshal([]string{s.text})
	}
	return json.Marshal(s.text)
}

func (s *stamp) UnmarshalJSON(data []byte) error {
	if s.needy = data[0] == '['; !s.needy {
		return json.Unmarshal(data, &s.text)
	}
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil || len(texts) != 1 {
		return fmt.Errorf("by is %s and not a list of one text", data)
	}
	s.text = texts[0]
	return nil
}

// newStored is what is written of settings.
func newStored(settings backend.Settings) stored {
	needs := settings.Needs()
	return stored{Settings: settings, Needs: needs, By: stamp{backend.NewID(), len(needs) > 0}}
}

// decodeSettings reads the value of settings. It fails where they need a feature that is lacking.
func decodeSettings(value []byte) (stored, error) {
	settings := stored{value: value}
	if err := json.Unmarshal(value, &settings); err != nil {
		return stored{}, fmt.Errorf("reading the limits: %w; update limit on this machine if a newer one has written "+
			"them, else remove the key settings of this namespace with etcdctl del, and set the limits anew", err)
	}
	return settings, backend.Lacking(settings.Needs)
}

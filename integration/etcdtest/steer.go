package etcdtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Status is what one member tells of itself.
type Status struct {
	Member, Leader uint64 // Leader is 0 while it knows of none
	Revision       int64
}

// Key is a key of the store.
type Key struct {
	Name  string
	Value string
	Lease int64 // 0: none
}

// Status asks one member.
func (c *Cluster) Status(m *Member) (Status, error) {
	var answer struct {
		Header struct {
			MemberID uint64 `json:"member_id,string"`
			Revision int64  `json:"revision,string"`
		} `json:"header"`
		Leader uint64 `json:"leader,string"`
	}
	err := c.post(m, "/v3/maintenance/status", struct{}{}, &answer)
	return Status{Member: answer.Header.MemberID, Leader: answer.Leader, Revision: answer.Header.Revision}, err
}

// Compact forgets every revision but the latest, which fails where that was done already.
func (c *Cluster) Compact(m *Member) error {
	status, err := c.Status(m)
	if err != nil {
		return err
	}
	return c.post(m, "/v3/kv/compaction",
		map[string]any{"revision": strconv.FormatInt(status.Revision, 10), "physical": true}, nil)
}

// Defragment rewrites the database of one member, which answers nobody meanwhile.
func (c *Cluster) Defragment(m *Member) error {
	return c.post(m, "/v3/maintenance/defragment", struct{}{}, nil)
}

// MoveLeader lets another member lead.
func (c *Cluster) MoveLeader(from, to *Member) error {
	target, err := c.Status(to)
	if err != nil {
		return err
	}
	return c.post(from, "/v3/maintenance/transfer-leadership",
		map[string]any{"targetID": strconv.FormatUint(target.Member, 10)}, nil)
}

// Keys are all keys with a prefix, as m and a majority know them.
func (c *Cluster) Keys(m *Member, prefix string) ([]Key, error) {
	end := []byte(prefix)
	end[len(end)-1]++
	var answer struct {
		Kvs []struct {
			Key   []byte `json:"key"`
			Value []byte `json:"value"`
			Lease int64  `json:"lease,string"`
		} `json:"kvs"`
	}
	err := c.post(m, "/v3/kv/range", map[string]any{"key": base64.StdEncoding.EncodeToString([]byte(prefix)),
		"range_end": base64.StdEncoding.EncodeToString(end)}, &answer) // keys_only would leave out the leases
	var keys []Key
	for _, kv := range answer.Kvs {
		keys = append(keys, Key{string(kv.Key), string(kv.Value), kv.Lease})
	}
	return keys, err
}

// Leases counts the leases that live.
func (c *Cluster) Leases(m *Member) (int, error) {
	var answer struct {
		Leases []struct{} `json:"leases"`
	}
	err := c.post(m, "/v3/lease/leases", struct{}{}, &answer)
	return len(answer.Leases), err
}

// post sends a request to the JSON side of etcd's interface, beside the links.
func (c *Cluster) post(m *Member, path string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: c.transport()}
	resp, err := client.Post(c.scheme()+m.own+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: %s: %.200s", path, m.Name, resp.Status, text.Bytes())
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text.Bytes(), answer); err != nil {
		return fmt.Errorf("%s of %s: %w: %.200s", path, m.Name, err, text.Bytes())
	}
	return nil
}

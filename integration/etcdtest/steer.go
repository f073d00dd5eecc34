package etcdtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"
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

// rootPassword is that of root where a cluster asks for passwords.
const rootPassword = "secret"

// AskForPasswords lets in only root and a user who may do everything below /limit/. Tokens end with the server that
// gave them.
func (c *Cluster) AskForPasswords(t testing.TB, user, password string) {
	t.Helper()
	below := base64.StdEncoding.EncodeToString([]byte("/limit/"))
	end := base64.StdEncoding.EncodeToString([]byte("/limit0"))
	for _, step := range []struct {
		path    string
		request map[string]any
	}{
		{"user/add", map[string]any{"name": "root", "password": rootPassword}},
		{"user/grant", map[string]any{"user": "root", "role": "root"}},
		{"role/add", map[string]any{"name": "limit"}},
		{"role/grant", map[string]any{"name": "limit",
			"perm": map[string]any{"permType": "READWRITE", "key": below, "range_end": end}}},
		{"user/add", map[string]any{"name": user, "password": password}},
		{"user/grant", map[string]any{"user": user, "role": "limit"}},
		{"enable", map[string]any{}},
	} {
		if err := c.post(c.Members[0], "/v3/auth/"+step.path, step.request, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.asRoot = true
}

// SetPassword gives a user another password.
func (c *Cluster) SetPassword(m *Member, user, password string) error {
	return c.post(m, "/v3/auth/user/changepw", map[string]any{"name": user, "password": password}, nil)
}

// post sends a request to the JSON side of etcd's interface, beside the links; as root where passwords are asked for.
func (c *Cluster) post(m *Member, path string, request, answer any) error {
	token := ""
	if c.asRoot {
		var login struct{ Token string }
		err := c.send(m, "/v3/auth/authenticate", "", map[string]any{"name": "root", "password": rootPassword}, &login)
		if err != nil {
			return err
		}
		token = login.Token
	}
	return c.send(m, path, token, request, answer)
}

func (c *Cluster) send(m *Member, path, token string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	call, err := http.NewRequest(http.MethodPost, c.scheme()+m.own+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	call.Header.Set("Content-Type", "application/json")
	if token != "" {
		call.Header.Set("Authorization", token)
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: c.transport()}
	resp, err := client.Do(call)
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

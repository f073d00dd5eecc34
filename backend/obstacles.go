package backend

import (
	"slices"
	"time"
)

// Obstacles is what keeps a claim from being granted, with the names of those in the way for people to read.
type Obstacles struct {
	Blocks []Block `json:"blocks,omitempty"`
	// in the order of the namespace, from 1; 0: not known, or the claim does not wait
	Position int `json:"position,omitempty"`
	// the claims that Blocks names, the first few of each; none where the store does not know
	Parties []Party `json:"parties,omitempty"`
}

// Party is a claim that stands in the way of another, as people know it.
type Party struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	User  string    `json:"user"`
	Since time.Time `json:"since,omitzero"` // when it was granted; zero: it waits
}

// MaxParties is how many holders of each limit Obstacles names.
const MaxParties = 3

// NewObstacles names the parties of blocks. find returns the claim of an id, concealed where the settings want that, or
// nil.
func NewObstacles(blocks []Block, position int, find func(id string) *Claim) Obstacles {
	o := Obstacles{Blocks: blocks, Position: position}
	for _, id := range PartyIDs(blocks) {
		if c := find(id); c != nil {
			o.Parties = append(o.Parties, partyOf(c))
		}
	}
	return o
}

// PartyIDs are the ids of those whom Obstacles with these blocks names.
func PartyIDs(blocks []Block) []string {
	var ids []string
	for _, b := range blocks {
		holders, waiter := b.parties()
		for _, id := range append(slices.Clone(holders[:min(len(holders), MaxParties)]), waiter...) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func partyOf(c *Claim) Party {
	p := Party{ID: c.ID, Name: c.Name, Host: c.Host, PID: c.PID, User: c.User}
	if c.Grant != nil {
		p.Since = c.Grant.GrantedAt
	}
	return p
}

// parties takes By apart: the holders, and the one waiter that the limit is kept for, if any.
func (b *Block) parties() (holders, waiter []string) {
	if n := len(b.By); n > 0 && (b.Why == WhyBehind || b.Why == WhyReserved) {
		return b.By[:n-1], b.By[n-1:]
	}
	return b.By, nil
}

// Holders are those of By that hold slots of the limit.
func (b *Block) Holders() []string {
	holders, _ := b.parties()
	return holders
}

// Obstacles is what a snapshot says of a waiting claim: nothing where it does not wait.
func (s *Snapshot) Obstacles(id string) Obstacles {
	for i := range s.Waiting {
		if w := &s.Waiting[i]; w.ID == id {
			return NewObstacles(w.Blocks, w.Position, s.claim)
		}
	}
	return Obstacles{}
}

// claim finds a claim, or nil.
func (s *Snapshot) claim(id string) *Claim {
	for i := range s.Held {
		if s.Held[i].ID == id {
			return &s.Held[i].Claim
		}
	}
	for i := range s.Waiting {
		if s.Waiting[i].ID == id {
			return &s.Waiting[i].Claim
		}
	}
	return nil
}

package cli

import (
	"context"
	"errors"
	"os"
	"os/user"
	"strconv"

	"limit/backend"
)

// A claim says which user's process asks, by number: to look up the name costs more than all the rest of a start. It is
// looked up where it is shown. Claims in etcd say the name, as they are shown on other machines.

// userNumber is what a claim says of its user.
func userNumber() string { return strconv.Itoa(os.Getuid()) }

// users looks up names, each once.
type users map[string]string

// name returns the name of a user's number; of anything else, which is a name already, itself.
func (u users) name(number string) string {
	uid, err := strconv.Atoi(number)
	if err != nil {
		return number
	}
	if _, known := u[number]; !known {
		u[number] = userNamed(uid)
	}
	return u[number]
}

func userNamed(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(uid)
}

// userAtHost is who acts here, for those who are told of it elsewhere.
func userAtHost() string {
	host, _ := os.Hostname()
	return userNamed(os.Getuid()) + "@" + host
}

// Enter is that of the store. What is shown on other machines has the name of the user. The refusal of a pool
// that nobody declared names the one that was probably meant.
func (s *store) Enter(ctx context.Context, c backend.Claim, o backend.EnterOptions) (backend.Entry, error) {
	if s.config.Backend.Etcd != nil {
		c.User = users{}.name(c.User)
	}
	e, err := s.Backend.Enter(ctx, c, o)
	var never *backend.ImpossibleError
	if !errors.As(err, &never) || never.Undeclared == "" {
		return e, err
	}
	settings, _, unread := s.Settings(ctx)
	if unread != nil {
		return nil, err
	}
	return nil, orMeant(never, settings)
}

// Snapshot is that of the store, with names of users.
func (s *store) Snapshot(ctx context.Context) (*backend.Snapshot, error) {
	snapshot, err := s.Backend.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	names := users{}
	for i := range snapshot.Held {
		snapshot.Held[i].User = names.name(snapshot.Held[i].User)
	}
	for i := range snapshot.Waiting {
		snapshot.Waiting[i].User = names.name(snapshot.Waiting[i].User)
	}
	return snapshot, nil
}

// History is that of the store, with names of users.
func (s *store) History(ctx context.Context) ([]backend.Past, error) {
	historian, ok := s.Backend.(backend.Historian)
	if !ok {
		return nil, errNoHistory
	}
	pasts, err := historian.History(ctx)
	names := users{}
	for i := range pasts {
		pasts[i].User = names.name(pasts[i].User)
	}
	return pasts, err
}

package local

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"limit/backend"
)

func pastFor(i int) backend.Past {
	return backend.Past{ID: fmt.Sprintf("%032x", i), RunID: fmt.Sprintf("%032x", i), Name: "load.sh", Pools: map[string]int{"database": 2}, Runs: 1,
		Granted: true, Waited: time.Second, Held: time.Minute, Ended: time.Unix(1700000000, int64(i))}
}

func TestAPastThatADeathHasTornIsPassedOver(t *testing.T) {
	var file []byte
	var want []backend.Past
	for i := range 50 {
		b := encodePast(pastFor(i))
		if i%3 == 1 {
			b = b[:i%len(b)] // written half
		} else {
			want = append(want, pastFor(i))
		}
		file = append(file, b...)
	}
	if got := decodePasts(file); !reflect.DeepEqual(got, want) {
		t.Errorf("read %d of %d:\n got %+v\nwant %+v", len(got), len(want), got, want)
	}
}

func TestWhatIsReadOfADamagedHistoryIsWhole(t *testing.T) {
	var file []byte
	for i := range 20 {
		file = append(file, encodePast(pastFor(i))...)
	}
	for at := range file {
		damaged := append([]byte{}, file...)
		damaged[at] ^= 0xff
		if got := len(decodePasts(damaged)); got != 19 {
			t.Fatalf("with byte %d damaged, %d of 20 are read, want 19", at, got)
		}
	}
}

func TestAClaimWhoseOwnerWasKilledIsRemembered(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	holder := launch(t, "claim", dir, "p", "1")
	holder.says("granted")
	held := snapshot(t, s).Held[0]
	holder.kill()
	holder.cmd.Wait()
	for range 2 { // it is told once
		pasts, err := s.History(context.Background())
		if err != nil || len(pasts) != 1 {
			t.Fatalf("%d ended claims are remembered, error %v", len(pasts), err)
		}
		p := pasts[0]
		if p.ID != held.ID || p.How != backend.Abandoned || !p.Granted || p.RunID != held.RunID || p.PID != held.PID || p.Pools["p"] != 1 {
			t.Errorf("remembered %+v of %+v", p, held)
		}
		if granted := p.GrantedAt().Sub(held.Grant.GrantedAt); granted.Abs() > time.Second {
			t.Errorf("it was granted %s after it was", granted)
		}
	}
}

func TestAPastOfAnOlderVersionIsRead(t *testing.T) {
	p := pastFor(1)
	b := encodePast(p)
	older := b[:len(b)-10] // capacities, priority, seq, host, pid, user, how, signal, reason, code: all empty
	binary.LittleEndian.PutUint16(older[1:], uint16(len(older)-pastHead))
	binary.LittleEndian.PutUint32(older[3:], checksum(older[pastHead:]))
	if got := decodePasts(append(older, encodePast(p)...)); !reflect.DeepEqual(got, []backend.Past{p, p}) {
		t.Errorf("read %+v", got)
	}
}

func TestTheFilesOfTheHistoryStayBounded(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s, err := Open(ctx, Options{Dir: filepath.Join(dir, "store"), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	settings := backend.NewSettings()
	settings.HistoryEntries = 100
	if err := s.ChangeSettings(ctx, func(to *backend.Settings, _ bool) error { *to = settings; return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		s.remember(ctx, pastFor(i), settings)
	}
	total := int64(0)
	for _, name := range []string{historyName, historyOld} {
		info, err := os.Stat(s.file(name))
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if most := 2*historyBytes(settings) + pastBytes; total > most {
		t.Errorf("the files have %d bytes, more than %d", total, most)
	}
	pasts, err := s.History(ctx)
	if err != nil || len(pasts) != 100 || pasts[99].ID != pastFor(999).ID || pasts[0].ID != pastFor(900).ID {
		t.Errorf("%d pasts, from %v to %v, error %v", len(pasts), pasts[0].ID, pasts[len(pasts)-1].ID, err)
	}
}

func BenchmarkRemember(b *testing.B) {
	s, err := Open(context.Background(), Options{Dir: filepath.Join(b.TempDir(), "store"), Create: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		s.remember(context.Background(), pastFor(1), backend.NewSettings())
	}
}

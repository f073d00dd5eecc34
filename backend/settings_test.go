package backend

import (
	"reflect"
	"testing"
	"time"
)

func TestADurationIsPrintedWithoutUnitsThatAreZero(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                              "0s",
		time.Second:                    "1s",
		10 * time.Second:               "10s",
		time.Minute:                    "1m",
		10 * time.Minute:               "10m",
		90 * time.Second:               "1m30s",
		time.Hour:                      "1h",
		20 * time.Hour:                 "20h",
		90 * time.Minute:               "1h30m",
		time.Hour + 10*time.Second:     "1h0m10s",
		100 * time.Hour:                "100h",
		-time.Minute:                   "-1m",
		1500 * time.Millisecond:        "1.5s",
		time.Minute + time.Millisecond: "1m0.001s",
	} {
		if got := ShortDuration(d); got != want {
			t.Errorf("ShortDuration(%v) is %s, want %s", d, got, want)
		}
		if again, err := time.ParseDuration(ShortDuration(d)); err != nil || again != d {
			t.Errorf("ShortDuration(%v) is %s, which is read as %v, %v", d, ShortDuration(d), again, err)
		}
	}
}

func TestAPoolHasItsOwnLimitOrTheDefaultOrOne(t *testing.T) {
	five, none := 5, Unlimited
	rate := &Rate{10, time.Minute}
	own := map[string]Pool{"api": {Limit: 4, Rate: rate}, "shut": {Limit: 0}, "open": {Limit: Unlimited}}
	for _, c := range []struct {
		fallback *int
		pool     string
		want     Pool
		source   PoolSource
	}{
		{&five, "api", Pool{4, rate}, SourceSet},
		{&five, "shut", Pool{Limit: 0}, SourceSet},
		{nil, "open", Pool{Limit: Unlimited}, SourceSet},
		{&five, "other", Pool{Limit: 5}, SourceDefault},
		{&none, "other", Pool{Limit: Unlimited}, SourceDefault},
		{nil, "other", Pool{Limit: 1}, SourceBuiltin},
	} {
		got, source := Settings{DefaultLimit: c.fallback, Pools: own}.Pool(c.pool)
		if got != c.want || source != c.source {
			t.Errorf("pool %s with default %v is %+v from %s, want %+v from %s", c.pool, c.fallback, got, source, c.want, c.source)
		}
	}
}

func TestACloneSharesNothing(t *testing.T) {
	make := func() Settings {
		limit, value := 5, "acme"
		return Settings{
			DefaultLimit: &limit,
			Pools:        map[string]Pool{"api": {Limit: 4, Rate: &Rate{10, time.Minute}}},
			TagLimits:    []TagLimit{{Key: "tenant", Value: &value, Limit: 1}},
		}
	}
	original := make()
	clone := original.Clone()
	if !reflect.DeepEqual(clone, original) {
		t.Fatalf("the clone is %+v, the original %+v", clone, original)
	}
	*clone.DefaultLimit = 9
	clone.Pools["api"].Rate.Slots = 9
	clone.Pools["db"] = Pool{Limit: 9}
	*clone.TagLimits[0].Value = "globex"
	clone.TagLimits[0].Limit = 9
	if !reflect.DeepEqual(original, make()) {
		t.Errorf("changing the clone changed the original to %s", settingsText(original))
	}
}

func TestReserveAfterIsFiveMinutesUnlessSet(t *testing.T) {
	for set, want := range map[time.Duration]time.Duration{0: 5 * time.Minute, time.Second: time.Second, -1: 5 * time.Minute, NeverReserve: NeverReserve} {
		if got := (Settings{ReserveAfter: set}).Reserve(); got != want {
			t.Errorf("ReserveAfter %v: %v, want %v", set, got, want)
		}
	}
}

func TestATagLimitMatchesItsKeyAndValue(t *testing.T) {
	acme := "acme"
	for _, c := range []struct {
		limit      TagLimit
		key, value string
		want       bool
	}{
		{TagLimit{Key: "tenant"}, "tenant", "", true},
		{TagLimit{Key: "tenant"}, "team", "", false},
		{TagLimit{Key: "tenant", Value: &acme}, "tenant", "acme", true},
		{TagLimit{Key: "tenant", Value: &acme}, "tenant", "globex", false},
		{TagLimit{Key: "tenant", PerValue: true}, "tenant", "globex", true},
	} {
		if got := c.limit.Matches(c.key, c.value); got != c.want {
			t.Errorf("%+v matches %s=%s: %t", c.limit, c.key, c.value, got)
		}
	}
}

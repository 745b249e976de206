package station_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/station"
)

func TestMaskKeepsOnlyTheEnds(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"": "****", "A": "****", "ABCD": "****", "ABCDE": "AB****DE", "04A1B2C3D4": "04A****D4", "LSVAU2180N2183294": "LSVA****94", "卡号一二三四五": "卡号一****四五",
		strings.Repeat("X", 36): "XXXX****XX",
	} {
		if got := station.Mask(tag); got != want {
			t.Errorf("%s: %s, want %s", tag, got, want)
		}
	}
}

func TestMaskNeverShowsTheWholeTag(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tag := rapid.StringMatching(`[0-9A-Z]{1,36}`).Draw(t, "tag")
		shown := strings.ReplaceAll(station.Mask(tag), "*", "")
		if len(shown) >= len(tag) || len(shown) > 6 {
			t.Fatalf("%s shows %s", tag, shown)
		}
	})
}

func TestTagsAreJudged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tag  station.IDTag
		want string
	}{
		{station.IDTag{}, ""},
		{station.IDTag{Blocked: true, Expires: noon.Add(-time.Hour)}, station.TagBlocked},
		{station.IDTag{Expires: noon.Add(time.Millisecond)}, ""},
		{station.IDTag{Expires: noon}, station.TagExpired},
	} {
		if got := c.tag.Judge(noon); got != c.want {
			t.Errorf("%+v: %q", c.tag, got)
		}
	}
}

func TestThePreviousSecretDiesWithItsGrace(t *testing.T) {
	t.Parallel()
	c := station.Credential{Secret: "new", Previous: "old", PreviousUntil: noon}
	if diff := cmp.Diff([]string{"new", "old"}, c.Sealed(noon.Add(-1))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"new"}, c.Sealed(noon)); diff != "" {
		t.Error(diff)
	}
	if got := new(station.Credential).Sealed(noon); len(got) != 0 {
		t.Errorf("without a secret: %v", got)
	}
}

func TestAllowedAddresses(t *testing.T) {
	t.Parallel()
	open := station.Credential{}
	narrow := station.Credential{AllowCIDR: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}}
	for address, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "2001:db8::1": true, "2001:db9::1": false} {
		a := netip.MustParseAddr(address)
		if narrow.Allows(a) != want || !open.Allows(a) {
			t.Errorf("%s", address)
		}
	}
}

func TestZone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zone *string
		want string
	}{{nil, "UTC"}, {ptr("Asia/Tokyo"), "Asia/Tokyo"}, {ptr("Nowhere/Land"), "UTC"}} {
		if got := (&station.Station{TimeZone: c.zone}).Zone(time.UTC).String(); got != c.want {
			t.Errorf("%v: %s", c.zone, got)
		}
	}
}

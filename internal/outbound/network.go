package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// ErrAddress says that a name resolves to an address that may not be reached.
var ErrAddress = errors.New("the address lies in a private, local or reserved network")

// Open are the networks that may be reached although they are private.
type Open []netip.Prefix

// reserved are networks beyond what netip tells apart.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// Allow refuses (ErrAddress) an address "ip:port" that may not be reached.
func (o Open) Allow(address string) error {
	ip, err := ipOf(address)
	if err != nil {
		return err
	}
	for _, p := range o {
		if p.Contains(ip) {
			return nil
		}
	}
	bad := !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified()
	for _, p := range reserved {
		bad = bad || p.Contains(ip)
	}
	if bad {
		return fmt.Errorf("%w: %s", ErrAddress, ip)
	}
	return nil
}

func ipOf(address string) (netip.Addr, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %s", ErrAddress, address)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %s", ErrAddress, host)
	}
	return ip.Unmap().WithZone(""), nil
}

// onlyLoopback refuses every address that is not this machine's own.
func onlyLoopback(address string) error {
	ip, err := ipOf(address)
	if err == nil && !ip.IsLoopback() {
		err = fmt.Errorf("%w: %s is not this machine", ErrAddress, ip)
	}
	return err
}

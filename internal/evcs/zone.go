package evcs

import (
	"sync"
	"time"
)

// zones are the time zones that were asked for, by name. There are some 600.
var zones sync.Map

// Zone is time.LoadLocation, which reads a file and makes a new zone each time it
// is asked, but asked once.
func Zone(name string) (*time.Location, error) {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil //nolint:errcheck,forcetypeassert // only zones are stored
	}
	zone, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, zone)
	}
	return zone, err
}

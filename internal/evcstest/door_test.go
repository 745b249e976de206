package evcstest_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/store/storetest"
)

// besideNeighbours charges at a good charger while bad ones do what they do, on
// both engines: it is billed to the cent and no call takes long.
func besideNeighbours(t *testing.T, bad func(t *testing.T, y *yard, stop <-chan struct{}) (wait func())) {
	t.Helper()
	charge := func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		y := build(t, d, d.Admin(), "GOOD-1")
		stop := make(chan struct{})
		wait := bad(t, y, stop)
		good := connect(t, d, y.device, y.secret)
		slowest := time.Duration(0)
		call := func(action string, payload, into any) {
			from := evcs.Monotonic()
			good.call(action, payload, into)
			slowest = max(slowest, evcs.Monotonic().Sub(from))
		}
		var started struct{ TransactionID int64 }
		call("StartTransaction", map[string]any{"connectorId": 1, "idTag": "T1", "meterStart": 0, "timestamp": begun}, &started)
		for range 50 {
			call("Heartbeat", map[string]any{}, nil)
		}
		y.pass(2 * time.Hour)
		call("StopTransaction", map[string]any{"transactionId": started.TransactionID, "meterStop": 20_000, "timestamp": begun.Add(2 * time.Hour)}, nil)
		close(stop)
		wait()
		y.billed(t, "20.0000", "25.00", "11.00", "36.00")
		if slowest > 3*time.Second {
			t.Errorf("a call of the good charger took %v", slowest)
		}
	}
	options := evcstest.WithConfig(func(c *config.Config) { c.Server.BodyTimeout = time.Second })
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		charge(t, evcstest.Start(t, options))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if storetest.Server(t) != "" {
			charge(t, evcstest.StartOn(t, storetest.PostgresURL(t), t.TempDir(), options))
		}
	})
}

// TestSlowHandshakes: strangers who send a handshake a byte at a time are hung
// up on in time, and meanwhile a charger connects and charges.
func TestSlowHandshakes(t *testing.T) {
	t.Parallel()
	besideNeighbours(t, func(t *testing.T, y *yard, _ <-chan struct{}) func() {
		const strangers = 50
		head := "GET /ocpp/GOOD-1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nX-Padding: " + strings.Repeat("a", 4096)
		var all sync.WaitGroup
		for range strangers {
			all.Go(func() {
				var dialer net.Dialer
				conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(y.d.DeviceURL, "http://"))
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				from := evcs.Monotonic()
				if err := conn.SetDeadline(from.Add(15 * time.Second)); err != nil {
					t.Error(err)
					return
				}
				gone := make(chan error, 1)
				go func() {
					_, err := io.Copy(io.Discard, conn)
					gone <- err
				}()
				pace := time.NewTicker(50 * time.Millisecond)
				defer pace.Stop()
				for i := 0; ; i++ {
					select {
					case err := <-gone:
						if took := evcs.Monotonic().Sub(from); errors.Is(err, os.ErrDeadlineExceeded) || took > 10*time.Second {
							t.Errorf("a slow handshake was suffered for %v: %v", took, err)
						}
						return
					case <-pace.C:
						if _, err := conn.Write([]byte{head[i%len(head)]}); err != nil {
							continue // the reader says how it ended
						}
					}
				}
			})
		}
		return all.Wait
	})
}

// TestPingFloods: a charger that pings as fast as it can is answered at the pace
// of its rate limit, whose burst it gets anew when the test's clock jumps.
func TestPingFloods(t *testing.T) {
	t.Parallel()
	besideNeighbours(t, func(t *testing.T, y *yard, stop <-chan struct{}) func() {
		conn, err := y.another(t, "C2", "PINGING").socket(t)
		if err != nil {
			t.Fatal(err)
		}
		pongs, from := 0, evcs.Monotonic()
		conn.SetPongHandler(func(string) error {
			pongs++
			return nil
		})
		var all sync.WaitGroup
		all.Go(func() {
			for err := error(nil); err == nil; { // control frames are heard while reading
				_, _, err = conn.ReadMessage()
			}
		})
		all.Go(func() {
			for {
				select {
				case <-stop:
					conn.Close()
					return
				default:
				}
				_ = conn.SetWriteDeadline(evcs.Monotonic().Add(time.Second)) // it is read slowly
				if conn.WriteMessage(websocket.PingMessage, []byte("x")) != nil {
					<-stop
					conn.Close()
					return
				}
			}
		})
		return func() {
			all.Wait()
			took := evcs.Monotonic().Sub(from)
			if most := 2*200 + 100*(int(took/time.Second)+2); pongs == 0 || pongs > most {
				t.Errorf("%d pongs in %v, want 1 to %d", pongs, took, most)
			}
		}
	})
}

// TestStalledReaders: chargers that ask and never read the answers, while
// commands are sent to them too, slow nobody down.
func TestStalledReaders(t *testing.T) {
	t.Parallel()
	besideNeighbours(t, func(t *testing.T, y *yard, stop <-chan struct{}) func() {
		const stalled = 10
		var all sync.WaitGroup
		for i := range stalled {
			code := string(rune('A' + i))
			z := y.another(t, "S"+code, "STALLED-"+code)
			conn, err := z.socket(t)
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.NetConn().(*net.TCPConn).SetReadBuffer(2048); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				defer conn.Close()
				for {
					select {
					case <-stop:
						return
					default:
					}
					_ = conn.SetWriteDeadline(evcs.Monotonic().Add(time.Second)) // it is read no longer
					if conn.WriteMessage(websocket.TextMessage, []byte(`[2,"1","DataTransfer",{"vendorId":"`+strings.Repeat("v", 200)+`"}]`)) != nil {
						<-stop
						return
					}
				}
			})
			all.Go(func() {
				a := z.by.Call(t, http.MethodPost, evcstest.Path("/api/charger/%d/reset", z.ChargerID), map[string]any{"type": "soft", "wait": 0})
				if a.Status != http.StatusOK && a.Status != http.StatusServiceUnavailable && a.Status != http.StatusConflict {
					t.Errorf("a command to a stalled charger: %d %d %s", a.Status, a.Code, a.Message)
				}
			})
		}
		return all.Wait
	})
}

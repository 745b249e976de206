package ocppj

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// knock is what a station shows at the door.
type knock struct {
	id       string
	address  netip.Addr
	dialect  Dialect
	identity device.Identity
}

// refusal is why it stays outside. An empty reason is not listed.
type refusal struct {
	status int
	reason string
	text   string // for the station's log
	hint   string // for the person who installs it
}

const prefix = "/ocpp/"

// judge checks the form of a handshake.
func (g *Gateway) judge(r *http.Request) (k knock, no *refusal) {
	k.address = remote(r.RemoteAddr)
	select {
	case <-g.stopping:
		return k, &refusal{status: http.StatusServiceUnavailable, text: "stopping, come back later"}
	default:
	}
	id, ok := strings.CutPrefix(r.URL.EscapedPath(), prefix)
	k.id = lastElement(r.URL.Path)
	if !ok || id == "" || strings.Contains(id, "/") {
		return k, &refusal{
			http.StatusNotFound, "WRONG_PATH", "no station is served at this path",
			"set the address to ws(s)://host:port/ocpp/ followed by the charge point id, and nothing else",
		}
	}
	if id, err := url.PathUnescape(id); err != nil || !validID(id) {
		return k, &refusal{
			http.StatusNotFound, "UNKNOWN_ID", "no such charge point",
			"a charge point id has at most 48 letters, digits, dots, dashes and underscores",
		}
	}
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return k, &refusal{
			http.StatusBadRequest, "NOT_WEBSOCKET", "this is a WebSocket address",
			"the charger must speak OCPP-J (JSON over WebSocket), not SOAP or plain HTTP",
		}
	}
	return k, g.choose(r, &k)
}

// choose takes the first subprotocol of the station that is spoken here.
func (g *Gateway) choose(r *http.Request, k *knock) *refusal {
	asked := strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ",")
	for name := range strings.SplitSeq(asked, ",") {
		for _, d := range g.dialects {
			if strings.EqualFold(strings.TrimSpace(name), d.Subprotocol()) {
				k.dialect = d
				return nil
			}
		}
	}
	names := make([]string, 0, len(g.dialects))
	for _, d := range g.dialects {
		names = append(names, d.Subprotocol())
	}
	offered := strings.Join(names, ", ")
	no := &refusal{
		http.StatusBadRequest, "MISSING_SUBPROTOCOL",
		"the header Sec-WebSocket-Protocol is missing; offered: " + offered,
		"the charger must name its OCPP version in Sec-WebSocket-Protocol; offered: " + offered,
	}
	if strings.Trim(asked, ", ") != "" {
		no.reason = "UNSUPPORTED_SUBPROTOCOL"
		no.text = "none of the subprotocols is spoken here; offered: " + offered
		no.hint = "the charger asks for " + printable(asked) + "; set it to one of: " + offered
	}
	return no
}

// admit asks the Gate.
func (g *Gateway) admit(r *http.Request, k *knock) *refusal {
	now := g.engine.options.Clock.Now()
	if wait := g.failures.Wait(k.address, k.id, now); wait > 0 {
		return &refusal{status: http.StatusTooManyRequests, text: "too many refused attempts"}
	}
	credential := device.Credential{
		DeviceID: k.id, Protocol: k.dialect.Protocol(), Address: k.address, TLS: r.TLS != nil,
	}
	if r.TLS != nil {
		credential.Certificates = r.TLS.PeerCertificates
	}
	user, password, shown := r.BasicAuth()
	if shown {
		given := sha256.Sum256([]byte(password))
		credential.Verify = func(secret string) bool {
			want := sha256.Sum256([]byte(secret))
			return subtle.ConstantTimeCompare(given[:], want[:]) == 1 && user == k.id
		}
	}
	id, err := g.gate.Admit(r.Context(), credential)
	if err == nil {
		k.identity = id
		return nil
	}
	no := g.word(err)
	if no.status < http.StatusInternalServerError {
		g.failures.Add(k.address, k.id, now)
	}
	switch {
	case errors.Is(err, device.ErrAddress):
		no.hint = "the charger's address " + k.address.String() + " is not in its allowCidr"
	case errors.Is(err, device.ErrNeedsTLS):
		no.hint = "the charger's security profile needs TLS: set its address to wss://"
	case errors.Is(err, device.ErrCertificate):
		no.hint = certificateHint(credential.Certificates, k.id)
	case errors.Is(err, device.ErrProtocol):
		no.hint = "the charger is registered for another protocol than " + k.dialect.Protocol()
	case no.reason == badCredential:
		no.hint = credentialHint(shown, user, k.id)
	}
	return no
}

// badCredential is the reason of everything that does not prove the device.
const badCredential = "BAD_CREDENTIAL"

func certificateHint(chain []*x509.Certificate, id string) string {
	if len(chain) == 0 {
		return "security profile 3 needs a client certificate, the charger showed none"
	}
	sum := sha256.Sum256(chain[0].Raw)
	return "the charger's certificate (CN " + printable(chain[0].Subject.CommonName) + ", until " + chain[0].NotAfter.UTC().Format(time.DateOnly) +
		", SHA-256 " + hex.EncodeToString(sum[:]) + ") is not the stored one, nor one for " + id + " of a known authority"
}

func credentialHint(shown bool, user, id string) string {
	switch {
	case !shown:
		return "the charger sent no password: set its AuthorizationKey (HTTP Basic), " +
			"or allow this charger without one together with its network"
	case user != id:
		return "the user name of HTTP Basic must be the charge point id, the charger sent " + printable(user)
	}
	return "the password is not the charger's secret; issue a new one and set it as AuthorizationKey"
}

// word turns an error of the Gate into a refusal.
func (g *Gateway) word(err error) *refusal {
	code, _, _ := evcs.Classify(err)
	no := &refusal{status: code.Status(), reason: code.Name(), text: code.Text(true)}
	switch code {
	case evcs.CodeDeviceAuthFailed:
		no.reason = badCredential
	case evcs.CodeDeviceUnknown:
		no.reason = "UNKNOWN_ID"
		no.hint = "create a charger with this device id, or correct the id in the charger's address"
	case evcs.CodeTenantDisabled:
		no.hint = "enable the operator of this charger"
	case evcs.CodeTenantExpired:
		no.hint = "extend the expiry of the operator of this charger"
	case evcs.CodeChargerDisabled:
		no.status = http.StatusForbidden // on the device ports; elsewhere it is a conflict
		no.hint = "enable the charger"
	}
	if no.status >= http.StatusInternalServerError {
		no.reason = "" // not the charger's doing
		g.engine.options.Log.Error("admitting a station failed", slog.Any("error", err))
	}
	return no
}

// refuse answers and lists a refused handshake.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, k knock, no *refusal) {
	now := g.engine.options.Clock.Now()
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	switch no.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Basic realm="ocpp", charset="UTF-8"`)
	case http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(int(g.failures.Wait(k.address, k.id, now).Seconds())+1))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	w.WriteHeader(no.status)
	_, _ = w.Write([]byte(no.text + "\n")) // the station may be gone already
	if no.reason == "" {
		return
	}
	protocol := "OCPP"
	if k.dialect != nil {
		protocol = k.dialect.Protocol()
	}
	g.gate.Refused(r.Context(), device.Refusal{
		DeviceID: printable(k.id), Protocol: protocol, Address: r.RemoteAddr,
		Reason: no.reason, Hint: no.hint, At: now,
	})
}

func lastElement(path string) string {
	path = strings.TrimRight(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}

// validID reports whether id can be a deviceId: code(48) of the contract.
func validID(id string) bool {
	if id == "" || len(id) > 48 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// printable bounds what a stranger sent for lists and hints.
func printable(text string) string {
	clean := func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}
	return clip(strings.Map(clean, strings.ToValidUTF8(text, "")), 64)
}

func remote(address string) netip.Addr {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

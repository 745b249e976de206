// Package config turns defaults, a file, the environment and flags, in this
// order, into one checked set of settings. An unknown key is a fault, and all
// faults are reported at once.
package config

import (
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/outbound"
)

var sealingPattern = regexp.MustCompile(`^[0-9a-fA-F]{64}(,[0-9a-fA-F]{64}){0,9}$`)

// Config is every setting of evcsd, under the names of contract §1.11.
type Config struct {
	// DataDir holds the database of SQLite, the keys and the logs.
	DataDir   string    `koanf:"dataDir" doc:"Directory of the database, the keys and the logs"`
	Database  Database  `koanf:"database"`
	Server    Server    `koanf:"server"`
	Auth      Auth      `koanf:"auth"`
	Internal  Internal  `koanf:"internal"`
	Metrics   Metrics   `koanf:"metrics"`
	Debug     Debug     `koanf:"debug"`
	Device    Device    `koanf:"device"`
	Logs      Logs      `koanf:"logs"`
	Telemetry Telemetry `koanf:"telemetry"`
	Events    Events    `koanf:"events"`
	CORS      CORS      `koanf:"cors"`
	RateLimit RateLimit `koanf:"rateLimit"`
	Payment   Payment   `koanf:"payment"`
	Outbound  Outbound  `koanf:"outbound"`
	Mail      Mail      `koanf:"mail"`
	Admin     Admin     `koanf:"admin"`
	Node      string    `koanf:"node" doc:"Name of this node; empty: host name and data directory"`
}

// Database says where the data is.
type Database struct {
	URL         string `koanf:"url" doc:"sqlite:PATH or postgres://...; empty: evcs.db in the data directory"`
	Connections int    `koanf:"connections" doc:"Most connections; 0: 4 readers on SQLite, 16 on PostgreSQL"`
	RowSecurity bool   `koanf:"rowSecurity" doc:"PostgreSQL: the database itself keeps tenants apart as well"`
}

// Server says where evcsd listens.
type Server struct {
	REST   string `koanf:"rest" doc:"Address of the REST listener"`
	Device string `koanf:"device" doc:"Address of the device listener"`
	// AnswerTimeout is for each 16 KiB of an answer, of both listeners.
	AnswerTimeout time.Duration `koanf:"answerTimeout" doc:"How long a client may take to read each 16 KiB of an answer, also of exports and event streams"`
	// BodyTimeout is for each MiB of a body, of both listeners.
	BodyTimeout  time.Duration `koanf:"bodyTimeout" doc:"How long a client may take to send each MiB of a body; the head of a request within it, and within 10 s"`
	TLS          TLS           `koanf:"tls"`
	TrustedProxy TrustedProxy  `koanf:"trustedProxy"`
}

// TLS are the certificate and key of the listeners. The files may be replaced
// while evcsd runs.
type TLS struct {
	Cert string `koanf:"cert" doc:"Certificate file; empty: no TLS"`
	Key  string `koanf:"key" doc:"Key file"`
	// Device leaves server.device to chargers that know no TLS.
	Device string `koanf:"device" doc:"Address of a device listener of its own for TLS, server.device then is plain; empty: none"`
	// DeviceCA is for security profile 3 by name.
	DeviceCA string `koanf:"deviceCa" doc:"Authorities (PEM) whose client certificates prove a charger by CN = device id; empty: none"`
}

// TrustedProxy says whose identity headers are honoured.
type TrustedProxy struct {
	CIDRs  []string `koanf:"cidrs" doc:"Peers whose identity headers are honoured"`
	Secret string   `koanf:"secret" secret:"true" doc:"What such a peer sends in X-Proxy-Secret"`
}

// Auth are the settings of sign-ins.
type Auth struct {
	JWTSecret  string        `koanf:"jwtSecret" secret:"true" doc:"At least 32 bytes; empty: a key made in the data directory"`
	SealingKey string        `koanf:"sealingKey" secret:"true" doc:"64 hexadecimal digits that seal stored secrets, behind commas further keys that only open; empty: sealing.key in the data directory, made at the first start"`
	AccessTTL  time.Duration `koanf:"accessTtl" doc:"Life of an access token"`
	RefreshTTL time.Duration `koanf:"refreshTtl" doc:"Life of a refresh token"`
	RefreshMax time.Duration `koanf:"refreshMax" doc:"Longest life of a sign-in"`
}

// Internal guards /internal.
type Internal struct {
	Token     string   `koanf:"token" secret:"true" doc:"At least 32 characters; empty: /internal is closed"`
	AllowCIDR []string `koanf:"allowCidr" doc:"Peers that may use it"`
}

// Metrics guards /metrics.
type Metrics struct {
	AllowCIDR []string `koanf:"allowCidr" doc:"Peers that may read metrics without a credential"`
}

// Debug opens the protocol debugging operations.
type Debug struct {
	Protocol struct {
		Enabled bool `koanf:"enabled" doc:"Open /debug/protocol for simulated chargers"`
	} `koanf:"protocol"`
}

// Device are the settings of the device port.
type Device struct {
	OfflineAfter time.Duration `koanf:"offlineAfter" doc:"Silence after which a charger is offline"`
}

// Logs are the settings of the local logs.
type Logs struct {
	Level    string        `koanf:"level" doc:"debug, info, warn or error"`
	Format   string        `koanf:"format" doc:"text or json"`
	MaxBytes int64         `koanf:"maxBytes" doc:"Most bytes of kept logs"`
	MaxAge   time.Duration `koanf:"maxAge" doc:"Longest age of kept logs"`
}

// Telemetry says where traces go.
type Telemetry struct {
	OTLPEndpoint  string `koanf:"otlpEndpoint" doc:"Base URL of an OpenTelemetry collector (OTLP over HTTP); empty: no traces"`
	SamplePercent int    `koanf:"samplePercent" doc:"How many of a hundred requests are traced"`
}

// Events are the settings of the event stream.
type Events struct {
	Retention time.Duration `koanf:"retention" doc:"How long events can be replayed"`
}

// CORS names the web origins that may call.
type CORS struct {
	Origins []string `koanf:"origins" doc:"Allowed origins"`
}

// RateLimit bounds what callers may do; 0 is off.
type RateLimit struct {
	TenantPerSecond   int `koanf:"tenantPerSecond" doc:"API requests per second of a tenant"`
	TenantBurst       int `koanf:"tenantBurst" doc:"Burst of the same"`
	LoginPerMinute    int `koanf:"loginPerMinute" doc:"Failed sign-ins per minute of an address"`
	StartPerSecond    int `koanf:"startPerSecond" doc:"Starts of charges per second of a tenant"`
	CallbackPerSecond int `koanf:"callbackPerSecond" doc:"Payment callbacks per second of an address"`
	ExportPerMinute   int `koanf:"exportPerMinute" doc:"Exports per minute of a user"`
	StreamsPerTenant  int `koanf:"streamsPerTenant" doc:"Event streams of a tenant at once"`
	DevicePerSecond   int `koanf:"devicePerSecond" doc:"Messages per second of a charger"`
}

// Payment are the settings of the payment channels.
type Payment struct {
	Sandbox bool `koanf:"sandbox" doc:"Offer the sandbox channel, whose money is not real"`
	// CallbackBase is the public address that channels call back.
	CallbackBase string `koanf:"callbackBase" doc:"Public base URL of payment callbacks"`
	Alipay       Alipay `koanf:"alipay"`
	Wechat       Wechat `koanf:"wechat"`
}

// Alipay says where Alipay is asked.
type Alipay struct {
	Gateway string `koanf:"gateway" doc:"Base URL that stands for Alipay's hosts; empty: themselves. One on this machine serves accounts of mode SANDBOX only"`
}

// Wechat says where WeChat Pay is asked.
type Wechat struct {
	Gateway string `koanf:"gateway" doc:"Base URL that stands for WeChat Pay's hosts; empty: themselves. One on this machine serves accounts of mode SANDBOX only"`
}

// Outbound says where webhooks and notification channels may reach.
type Outbound struct {
	AllowCIDR []string `koanf:"allowCidr" doc:"Private, local or reserved networks that webhooks and notification channels may reach"`
	PlainHTTP bool     `koanf:"plainHttp" doc:"Take receivers without TLS (http://)"`
}

// Mail is the server that alerts are mailed through.
type Mail struct {
	Host     string `koanf:"host" doc:"Mail server; empty: channels of type EMAIL fail"`
	Port     int    `koanf:"port" doc:"Its port"`
	Username string `koanf:"username" doc:"Empty: no sign-in"`
	Password string `koanf:"password" secret:"true" doc:"Of the username"`
	From     string `koanf:"from" doc:"Sender of the mails"`
	Security string `koanf:"security" doc:"starttls, tls or none"`
}

// Admin is the first administrator.
type Admin struct {
	Password     string `koanf:"password" secret:"true" doc:"Password of admin@tenant1 on the first start; empty: made and printed once"`
	PasswordFile string `koanf:"passwordFile" doc:"File that holds it"`
}

// Defaults is evcsd without any setting.
func Defaults() Config {
	loopback := []string{"127.0.0.0/8", "::1/128"}
	return Config{
		DataDir:   "data",
		Server:    Server{REST: ":8080", Device: ":8085", BodyTimeout: 20 * time.Second, AnswerTimeout: 20 * time.Second, TrustedProxy: TrustedProxy{CIDRs: []string{}}},
		Auth:      Auth{AccessTTL: 2 * time.Hour, RefreshTTL: 7 * 24 * time.Hour, RefreshMax: 30 * 24 * time.Hour},
		Internal:  Internal{AllowCIDR: loopback},
		Metrics:   Metrics{AllowCIDR: slices.Clone(loopback)},
		Device:    Device{OfflineAfter: 5 * time.Minute},
		Logs:      Logs{Level: "info", Format: "text", MaxBytes: 256 << 20, MaxAge: 7 * 24 * time.Hour},
		Telemetry: Telemetry{SamplePercent: 100},
		Events:    Events{Retention: 72 * time.Hour},
		CORS:      CORS{Origins: []string{}},
		RateLimit: RateLimit{
			TenantPerSecond: 5000, TenantBurst: 10_000, LoginPerMinute: 30, DevicePerSecond: 100,
			StartPerSecond: 1000, CallbackPerSecond: 200, ExportPerMinute: 10, StreamsPerTenant: 100,
		},
		Payment:  Payment{Sandbox: true},
		Outbound: Outbound{AllowCIDR: []string{}},
		Mail:     Mail{Port: 587, Security: "starttls"},
	}
}

// minLogBytes is the least that the log store can turn over.
const minLogBytes = 1 << 20

// faultsOf collects what is wrong with settings, by their keys.
type faultsOf []error

func (f *faultsOf) add(key, format string, args ...any) {
	*f = append(*f, fmt.Errorf("%s %s", key, fmt.Sprintf(format, args...)))
}

// Check returns every fault of the settings, joined.
func (c Config) Check() error {
	var f faultsOf
	c.checkData(&f)
	c.checkServer(&f)
	c.checkTimes(&f)
	c.checkWatching(&f)
	c.checkMail(&f)
	c.checkNumbers(&f)
	c.checkAddresses(&f)
	slices.SortFunc(f, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(f...)
}

func (c Config) checkData(f *faultsOf) {
	if c.DataDir == "" {
		f.add("dataDir", "must not be empty")
	}
	if u := c.Database.URL; u != "" && !strings.HasPrefix(u, "sqlite:") && !strings.HasPrefix(u, "postgres://") && !strings.HasPrefix(u, "postgresql://") {
		f.add("database.url", "must begin with sqlite: or postgres://")
	}
	if c.Database.RowSecurity && !strings.HasPrefix(c.Database.URL, "postgres") {
		f.add("database.rowSecurity", "is for PostgreSQL")
	}
	if n := len(c.Auth.JWTSecret); n > 0 && n < 32 {
		f.add("auth.jwtSecret", "must have at least 32 bytes")
	}
	if k := c.Auth.SealingKey; k != "" && !sealingPattern.MatchString(k) {
		f.add("auth.sealingKey", "must be 64 hexadecimal digits; up to 10 keys stand with commas between, the first one seals")
	}
	if c.Admin.Password != "" && c.Admin.PasswordFile != "" {
		f.add("admin", "takes either password or passwordFile")
	}
}

func (c Config) checkServer(f *faultsOf) {
	if n := len(c.Internal.Token); n > 0 && n < 32 {
		f.add("internal.token", "must have at least 32 characters")
	}
	if (c.Server.TLS.Cert == "") != (c.Server.TLS.Key == "") {
		f.add("server.tls", "needs both cert and key")
	}
	if c.Server.TLS.Cert == "" && (c.Server.TLS.Device != "" || c.Server.TLS.DeviceCA != "") {
		f.add("server.tls.cert", "must be set with device and deviceCa")
	}
	if len(c.Server.TrustedProxy.CIDRs) > 0 && c.Server.TrustedProxy.Secret == "" {
		f.add("server.trustedProxy.secret", "must be set with cidrs")
	}
}

func (c Config) checkTimes(f *faultsOf) {
	for _, d := range []struct {
		key string
		d   time.Duration
	}{
		{"auth.accessTtl", c.Auth.AccessTTL},
		{"auth.refreshTtl", c.Auth.RefreshTTL},
		{"auth.refreshMax", c.Auth.RefreshMax},
		{"device.offlineAfter", c.Device.OfflineAfter},
		{"server.bodyTimeout", c.Server.BodyTimeout},
		{"server.answerTimeout", c.Server.AnswerTimeout},
		{"events.retention", c.Events.Retention},
		{"logs.maxAge", c.Logs.MaxAge},
	} {
		if d.d <= 0 {
			f.add(d.key, "must be longer than 0")
		}
	}
}

func (c Config) checkWatching(f *faultsOf) {
	if u := c.Telemetry.OTLPEndpoint; u != "" && !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") {
		f.add("telemetry.otlpEndpoint", "must begin with http:// or https://")
	}
	if n := c.Telemetry.SamplePercent; n < 0 || n > 100 {
		f.add("telemetry.samplePercent", "must be 0 to 100")
	}
	if c.Logs.MaxBytes < minLogBytes {
		f.add("logs.maxBytes", "must be at least %d", minLogBytes)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Logs.Level) {
		f.add("logs.level", "must be debug, info, warn or error")
	}
	if !slices.Contains([]string{"text", "json"}, c.Logs.Format) {
		f.add("logs.format", "must be text or json")
	}
}

func (c Config) checkMail(f *faultsOf) {
	if m := c.Mail; m.Host != "" {
		if at, err := mail.ParseAddress(m.From); err != nil || at.Address == "" {
			f.add("mail.from", "must be a mail address")
		}
		if m.Port < 1 || m.Port > 65535 {
			f.add("mail.port", "must be 1 to 65535")
		}
		if m.Security == "none" && m.Username != "" {
			f.add("mail.security", "must be starttls or tls with a username")
		}
	}
	if !slices.Contains([]string{"starttls", "tls", "none"}, c.Mail.Security) {
		f.add("mail.security", "must be starttls, tls or none")
	}
}

func (c Config) checkNumbers(f *faultsOf) {
	for key, n := range map[string]int{
		"rateLimit.tenantPerSecond": c.RateLimit.TenantPerSecond, "rateLimit.tenantBurst": c.RateLimit.TenantBurst,
		"rateLimit.loginPerMinute": c.RateLimit.LoginPerMinute, "rateLimit.devicePerSecond": c.RateLimit.DevicePerSecond,
		"rateLimit.startPerSecond": c.RateLimit.StartPerSecond, "rateLimit.callbackPerSecond": c.RateLimit.CallbackPerSecond,
		"rateLimit.exportPerMinute": c.RateLimit.ExportPerMinute, "rateLimit.streamsPerTenant": c.RateLimit.StreamsPerTenant,
		"database.connections": c.Database.Connections,
	} {
		if n < 0 {
			f.add(key, "must not be negative")
		}
	}
}

func (c Config) checkAddresses(f *faultsOf) {
	for key, list := range map[string][]string{
		"outbound.allowCidr": c.Outbound.AllowCIDR,
		"internal.allowCidr": c.Internal.AllowCIDR, "metrics.allowCidr": c.Metrics.AllowCIDR, "server.trustedProxy.cidrs": c.Server.TrustedProxy.CIDRs,
	} {
		if _, err := Prefixes(list); err != nil {
			f.add(key, "%v", err)
		}
	}
	for _, origin := range c.CORS.Origins {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.Contains(origin, "*") {
			f.add("cors.origins", "must be origins such as https://ops.example.com, %q is none", origin)
		}
	}
	for key, gateway := range map[string]string{"payment.alipay.gateway": c.Payment.Alipay.Gateway, "payment.wechat.gateway": c.Payment.Wechat.Gateway} {
		if _, err := outbound.ParseGateway(gateway); err != nil {
			f.add(key, "%v", err)
		}
	}
	if base := c.Payment.CallbackBase; base != "" {
		if u, err := url.Parse(base); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			f.add("payment.callbackBase", "must be an http or https address without query")
		}
	}
}

// Prefixes reads networks; a bare address is a network of one.
func Prefixes(list []string) ([]netip.Prefix, error) {
	nets := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		if a, err := netip.ParseAddr(text); err == nil {
			nets = append(nets, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network", text)
		}
		nets = append(nets, p.Masked())
	}
	return nets, nil
}

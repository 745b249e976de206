package alipay

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"

	sdk "github.com/smartwalle/alipay/v3"
	"github.com/smartwalle/nsign"

	"github.com/evcs/evcs/internal/payment"
)

const (
	// missedFor is how long a serial number that gave no certificate is not asked
	// for again, and retryAfter how long when nobody answered.
	missedFor  = 10 * time.Minute
	retryAfter = 15 * time.Second
	// maxMissed bounds those numbers, and with them how often an account asks.
	maxMissed = 32
	// maxDoubtful bounds how many of them messages may name that nothing proves:
	// anybody can send one.
	maxDoubtful = 8
)

// snPattern is the form of the serial numbers of Alipay's certificates.
var snPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

var (
	errEnded = errors.New("the certificate that is named has ended or is not valid yet")
	errAsked = errors.New("unknown certificates are asked for too often")
	// errCertificate says that a certificate that was named is not to be had, or
	// not to be trusted.
	errCertificate = errors.New("the certificate that is named cannot be used")
)

// missed is a serial number that gave no certificate, and why.
type missed struct {
	until    time.Time
	doubtful bool
	why      error
}

// proven says who named a certificate.
type proven bool

const (
	byAnswer proven = true  // Alipay itself, whom we had asked
	byNotice proven = false // anybody
)

// adopt makes a certificate one that verifies; a.mu is held, or a is new.
func (a *account) adopt(c payment.Certificate) {
	named := dated{key{c.Key}, c, a.now}
	a.certificates[c.SN] = named
	a.keys = append(keyring{named}, a.keys...)
}

// client makes the library's client with the keys of this moment.
func (a *account) client() (*sdk.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made != nil {
		return a.made, nil
	}
	options := append([]sdk.OptionFunc{}, a.options...)
	for sn, c := range a.certificates {
		options = append(options, sdk.WithVerifier(sn, c))
	}
	// The last one verifies what names no certificate.
	options = append(options, sdk.WithVerifier("the account's keys", a.keys))
	// Not "production", whatever the mode: that would have the library fetch any
	// certificate that an unproven message names. The address is what matters.
	made, err := sdk.NewWithSigner(a.id.AppID, a.signer, false, options...)
	if err == nil && a.certified() {
		err = errors.Join(made.LoadAppCertPublicKey(a.secrets.AppCertificate), made.LoadAliPayRootCert(a.secrets.AlipayRoot))
	}
	if err != nil {
		return nil, errAccount
	}
	a.made = made
	return made, nil
}

func (a *account) certified() bool { return a.secrets.Certified() }

// ask runs a call of the library. When the answer names a certificate that the
// account has not, that one is got and the call is made again: every call may be
// repeated under its number.
func (a *account) ask(ctx context.Context, fn func(ctx context.Context, c *sdk.Client) error) error {
	var named string
	noting := context.WithValue(ctx, namedKey{}, &named)
	for again := false; ; again = true {
		client, err := a.client()
		if err != nil {
			return err
		}
		err = call(noting, func(ctx context.Context) error { return fn(ctx, client) })
		if again || !errors.Is(err, sdk.ErrAliPublicKeyNotFound) || !a.certified() {
			return err
		}
		if _, failed := a.find(ctx, named, byAnswer); failed != nil {
			return errors.Join(err, failed)
		}
	}
}

// find is the verifier of the certificate of a serial number, which is got from
// Alipay when the account works with certificates and has it not.
func (a *account) find(ctx context.Context, sn string, who proven) (sdk.Verifier, error) {
	if found, ok := a.known(sn); ok {
		return found, nil
	}
	if !a.certified() || a.offline || !snPattern.MatchString(sn) {
		return nil, errUnknown
	}
	select { // one at a time
	case a.learning <- struct{}{}:
		defer func() { <-a.learning }()
	case <-ctx.Done():
		return nil, errors.Join(payment.ErrUnknownOutcome, ctx.Err())
	}
	if found, ok := a.known(sn); ok {
		return found, nil
	}
	err := a.mayAsk(sn, who)
	if err == nil {
		err = a.learn(ctx, sn)
		if err != nil {
			a.miss(sn, who, err)
		}
	}
	if err != nil {
		return nil, noCertificate(err)
	}
	found, _ := a.known(sn) // it was learned
	return found, nil
}

// noCertificate says why there is none. That Alipay refuses to hand one out is no
// refusal of the call that needed it.
func noCertificate(why error) error {
	if errors.Is(why, payment.ErrUnknownOutcome) {
		return fmt.Errorf("%w: %w: %s", payment.ErrUnknownOutcome, errCertificate, why.Error())
	}
	return fmt.Errorf("%w: %s", errCertificate, why.Error())
}

func (a *account) known(sn string) (sdk.Verifier, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, ok := a.certificates[sn]
	return found, ok
}

// mayAsk returns why a certificate must not be asked for at this moment, or nil
// when it may.
func (a *account) mayAsk(sn string, who proven) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, doubtful := a.now(), 0
	for other, m := range a.missed {
		if !now.Before(m.until) {
			delete(a.missed, other)
		} else if m.doubtful {
			doubtful++
		}
	}
	if m, lately := a.missed[sn]; lately && (who == byNotice || !m.doubtful) {
		return m.why
	}
	if len(a.missed) >= maxMissed || who == byNotice && doubtful >= maxDoubtful {
		return errAsked
	}
	return nil
}

func (a *account) miss(sn string, who proven, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wait := missedFor
	if errors.Is(why, payment.ErrUnknownOutcome) {
		wait = retryAfter
	}
	a.missed[sn] = missed{a.now().Add(wait), who == byNotice, why}
}

// download asks Alipay for a certificate. Nothing of the answer is proved yet:
// its signature may be by that very certificate.
func (a *account) download(ctx context.Context, sn string) (string, error) {
	const what = "ask for a certificate"
	client, err := a.client()
	if err != nil {
		return "", err
	}
	var said *sdk.CertDownloadRsp
	err = call(ctx, func(ctx context.Context) (err error) {
		said, err = client.CertDownload(ctx, sdk.CertDownload{AliPayCertSN: sn})
		return err
	})
	if said == nil {
		said = &sdk.CertDownloadRsp{}
	}
	if err := outcome(what, err, said.Error); err != nil {
		return "", err
	}
	text, err := base64.StdEncoding.DecodeString(said.AliPayCertContent)
	if err != nil {
		return "", another(what)
	}
	return string(text), nil
}

// learn gets a certificate, checks it, has it kept, and uses it from then on.
func (a *account) learn(ctx context.Context, sn string) error {
	text, err := a.download(ctx, sn)
	if err != nil {
		return err
	}
	roots, err := payment.ParseRoots(a.secrets.AlipayRoot)
	if err != nil {
		return err
	}
	c, err := roots.ReadLearned(text, sn, a.trusted(), a.now())
	if err != nil {
		return err
	}
	if a.keep != nil {
		if err := a.keep(ctx, a.merchant, text, sn); err != nil {
			return fmt.Errorf("keep a certificate: %w: %w", payment.ErrUnknownOutcome, err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.adopt(c)
	a.made = nil
	return nil
}

// trusted are the certificates of the account.
func (a *account) trusted() (list []payment.Certificate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.certificates {
		list = append(list, c.certificate)
	}
	return list
}

// dated is the key of a certificate, within the certificate's time. It implements
// the library's Verifier.
type dated struct {
	key
	certificate payment.Certificate
	now         func() time.Time
}

// VerifyBytes is that of the key.
func (d dated) VerifyBytes(data, signature []byte, o ...nsign.SignOption) error {
	if !d.certificate.Valid(d.now()) {
		return errEnded
	}
	return d.key.VerifyBytes(data, signature, o...)
}

// VerifyValues is that of the key.
func (d dated) VerifyValues(values url.Values, signature []byte, o ...nsign.SignOption) error {
	return d.VerifyBytes([]byte(joined(values)), signature, o...)
}

// namedKey is under what a context has the place for the certificate that an
// answer names.
type namedKey struct{}

// maxEnvelope bounds an answer that is looked into.
const maxEnvelope = 1 << 20

// naming is a transport that notes which certificate an answer names; the
// library does not tell.
type naming struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (n naming) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := n.RoundTripper.RoundTrip(r)
	place, ok := r.Context().Value(namedKey{}).(*string)
	if err != nil || !ok {
		return answer, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxEnvelope))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read an answer: %w", err), answer.Body.Close())
	}
	var envelope struct {
		SN string `json:"alipay_cert_sn"`
	}
	if json.Unmarshal(body, &envelope) == nil {
		*place = envelope.SN
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), answer.Body), answer.Body}
	return answer, nil
}

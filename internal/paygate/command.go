package paygate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// The exit codes of Command, those of evcsctl.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 7
)

// Command is `evcsctl gateway`: it parses args and serves, or presses the button
// of a gateway that serves. It returns the exit code: 0 done, 1 refused, 2 used
// wrongly, 7 not reachable. help, when it is not nil, sees the command before it
// runs: its help is whose who calls.
func Command(ctx context.Context, args []string, out, errOut io.Writer, now func() time.Time, help func(*cobra.Command)) int {
	ran, code := false, exitOK
	cmd := &cobra.Command{
		Use: "gateway", Short: "A payment gateway on this machine, without money", SilenceUsage: true, SilenceErrors: true,
		Long: "Speaks the wire protocols of Alipay and WeChat Pay with keys of its own, so that evcsd's real channels run from the\n" +
			"creation to the statement without a merchant account. evcsd is led to it by payment.alipay.gateway and\n" +
			"payment.wechat.gateway; only accounts of mode SANDBOX go there.",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(*cobra.Command, []string) { ran = true },
	}
	cmd.AddCommand(newServe(now), newPay(), newTrades(), newFault(), newCertificate())
	root := &cobra.Command{Use: "evcsctl", SilenceUsage: true, SilenceErrors: true}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(cmd)
	if help != nil {
		help(cmd)
	}
	root.SetArgs(append([]string{"gateway"}, args...))
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.ExecuteContext(ctx); err != nil {
		switch {
		case !ran, errors.Is(err, errUsage):
			code = exitUsage
		case errors.Is(err, errUnreachable):
			code = exitUnreachable
		default:
			code = exitFailed
		}
		fmt.Fprintf(errOut, "evcsctl gateway: %v\n", err) // nowhere left to tell
	}
	return code
}

var (
	errUsage       = errors.New("wrong usage")
	errUnreachable = errors.New("the gateway cannot be reached")
)

type serveOptions struct {
	listen, dir              string
	earlyBills, remote, mute bool
}

func newServe(now func() time.Time) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve both protocols and the pay button until stopped", Args: cobra.NoArgs,
		Example: "  evcsctl gateway serve --dir gateway\n  evcsd serve --payment.alipay.gateway http://127.0.0.1:9100 --payment.wechat.gateway http://127.0.0.1:9100 \\\n" +
			"    --payment.callbackBase http://127.0.0.1:8080\n  evcsctl merchant create --file gateway/alipay-merchant.json",
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout(), now) },
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:9100", "address to listen at")
	f.StringVar(&o.dir, "dir", "gateway", "directory of the keys and merchant accounts; made when it is not there")
	f.BoolVar(&o.earlyBills, "early-bills", false, "have statements of the running day")
	f.BoolVar(&o.remote, "allow-remote", false, "permit listening and notifying beyond this machine")
	f.BoolVar(&o.mute, "quiet", false, "do not tell what happens")
	return cmd
}

func (o serveOptions) run(ctx context.Context, out io.Writer, now func() time.Time) error {
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Errorf("%w: --listen must be host:port", errUsage)
	}
	if ip := net.ParseIP(host); !o.remote && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%w: --listen %s is not on this machine; --allow-remote permits it", errUsage, o.listen)
	}
	keys, err := OpenKeys(o.dir, now())
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	var mu sync.Mutex
	tell := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%s %s\n", now().Format(time.TimeOnly), line) // nowhere left to tell
	}
	fmt.Fprintf(out, "gateway at http://%s\nmerchant accounts: %s %s, in certificate mode %s\n", listener.Addr(),
		filepath.Join(o.dir, alipayMerchant), filepath.Join(o.dir, wechatMerchant), filepath.Join(o.dir, certifiedMerchant))
	c := Config{Keys: keys, Now: now, EarlyBills: o.earlyBills, AllowRemote: o.remote}
	if !o.mute {
		c.Tell = tell
	}
	return New(c).serve(ctx, listener)
}

// serve serves until ctx ends; then it finishes what it has begun.
func (g *Gateway) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: g.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var work sync.WaitGroup
	work.Go(func() { _ = g.Run(ctx) }) // it ends with ctx only
	served := make(chan error, 1)
	work.Go(func() { served <- server.Serve(listener) })
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = server.Shutdown(stop)
	}
	work.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func flagURL(cmd *cobra.Command) *string {
	return cmd.Flags().String("gateway", "http://127.0.0.1:9100", "address of the gateway")
}

func newPay() *cobra.Command {
	var p Pay
	var outcome, refunds, order, page string
	cmd := &cobra.Command{
		Use: "pay [TRADE]", Short: "Let the payer of a trade act", Args: cobra.MaximumNArgs(1),
		Example: "  evcsctl gateway pay EV01KH3TQ0Z8V5M2C7R9XAWD4NB6\n  evcsctl gateway pay EV01KH3TQ0Z8V5M2C7R9XAWD4NB6 --outcome LATE\n" +
			"  evcsctl gateway pay --order-string \"$(evcsctl payment get … --jq .payParams.orderString)\"",
	}
	to := flagURL(cmd)
	f := cmd.Flags()
	f.StringVar(&outcome, "outcome", string(Succeed), "how the payer behaves: "+listed(Outcomes()))
	f.StringVar(&refunds, "refunds", "", "what becomes of its refunds: "+listed(RefundOutcomes()))
	f.StringVar(&order, "order-string", "", "begin an ALIPAY_APP payment with what the app got")
	f.StringVar(&page, "page", "", "begin a WECHAT_JSAPI payment with what the page got (JSON), whose signature is verified")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p.Outcome, p.Refunds, p.OrderString = Outcome(outcome), RefundOutcome(refunds), order
		if len(args) > 0 {
			p.TradeNo = args[0]
		}
		if (p.TradeNo == "") == (order == "") {
			return fmt.Errorf("%w: name a trade or give --order-string", errUsage)
		}
		if page != "" && json.Unmarshal([]byte(page), &p.Page) != nil {
			return fmt.Errorf("%w: --page is no JSON object of texts", errUsage)
		}
		return send(cmd.Context(), *to, "pay", p)
	}
	return cmd
}

func listed[T ~string](list []T) string {
	words := make([]string, 0, len(list))
	for _, w := range list {
		words = append(words, string(w))
	}
	return strings.Join(words, ", ")
}

func newFault() *cobra.Command {
	var f Fault
	cmd := &cobra.Command{
		Use: "fault CALL KIND", Short: "Make the next calls go wrong", Args: cobra.ExactArgs(2),
		Long:    "CALL is a part of the Alipay method or of the WeChat Pay path, such as refund. KIND is one of: " + strings.Join(FaultKinds(), ", "),
		Example: "  evcsctl gateway fault refund busy --times 2",
	}
	to := flagURL(cmd)
	times := cmd.Flags().Int("times", 1, "how many calls; at most 1000")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.Call, f.Kind, f.Times = args[0], args[1], *times
		return send(cmd.Context(), *to, "fault", f)
	}
	return cmd
}

func newCertificate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "certificate [KIND]", Short: "Have Alipay sign with another certificate, which is printed", Args: cobra.MaximumNArgs(1),
		Long: "Accounts in certificate mode see it in the next answer or notification; all kinds but the first must not be trusted. KIND is one of: " +
			strings.Join(CertificateKinds(), ", "),
		Example: "  evcsctl gateway certificate new",
	}
	to := flagURL(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind := CertificateNew
		if len(args) > 0 {
			kind = args[0]
		}
		body, err := ask(cmd.Context(), *to, "certificate", map[string]string{"kind": kind})
		if err != nil {
			return err
		}
		var made struct {
			Certificate string `json:"certificate"`
		}
		if err := json.Unmarshal(body, &made); err != nil {
			return errors.New("the answer is not that of a gateway")
		}
		_, err = io.WriteString(cmd.OutOrStdout(), made.Certificate)
		return err
	}
	return cmd
}

func newTrades() *cobra.Command {
	cmd := &cobra.Command{Use: "trades", Short: "List what the gateway knows", Args: cobra.NoArgs, Example: "  evcsctl gateway trades -o json"}
	to := flagURL(cmd)
	output := cmd.Flags().StringP("output", "o", "text", "text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *output != "text" && *output != "json" {
			return fmt.Errorf("%w: --output is text or json", errUsage)
		}
		body, err := ask(cmd.Context(), *to, "trades", nil)
		if err != nil || *output == "json" {
			_, _ = cmd.OutOrStdout().Write(body) // nothing when it failed
			return err
		}
		var list []Overview
		if err := json.Unmarshal(body, &list); err != nil {
			return errors.New("the answer is not that of a gateway")
		}
		t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "TRADE\tCHANNEL\tKIND\tAMOUNT\tSTATE\tREFUNDS")
		for _, o := range list {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\n", o.TradeNo, o.Channel, o.Kind, o.Amount, o.State, len(o.Refunds))
		}
		return t.Flush()
	}
	return cmd
}

func send(ctx context.Context, to, verb string, body any) error {
	_, err := ask(ctx, to, verb, body)
	return err
}

// ask asks a gateway that serves; a nil body is a question.
func ask(ctx context.Context, to, verb string, body any) ([]byte, error) {
	base, err := url.Parse(to)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("%w: --gateway must be an address such as http://127.0.0.1:9100", errUsage)
	}
	method, content := http.MethodGet, io.Reader(nil)
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		method, content = http.MethodPost, bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, base.JoinPath("gateway", verb).String(), content)
	if err != nil {
		return nil, errUsage
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	defer answer.Body.Close() // what is left is not wanted
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: the answer broke off", errUnreachable)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		var said struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(text, &said) != nil || said.Error == "" {
			return nil, fmt.Errorf("HTTP %d", answer.StatusCode)
		}
		return nil, errors.New(said.Error)
	}
	return text, nil
}

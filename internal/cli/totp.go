package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	qrcode "github.com/skip2/go-qrcode"
	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// newTotpGroup is the second factor of sign-ins.
func newTotpGroup(e *env) *cobra.Command {
	return group(
		"totp", "The second factor of sign-ins: the own one, and the reset of a lost one",
		newQuery(e, "show", "Show whether the own sign-ins ask for a second factor", nil,
			func(ctx context.Context, c *client.Client, _ client.Query) (api.SecondFactor, error) {
				return c.Auth.Totp(ctx)
			}),
		newTotpEnrol(e),
		newTotpConfirm(e),
		newTotpDisable(e),
		verb("reset <user-id>", "Take the second factor from a user who has lost it, and end his sign-ins", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			target, err := parseID(args[0])
			if err != nil {
				return err
			}
			return do(ctx, e, e.say("Second factor reset", "已重置二次验证"), func(ctx context.Context, c *client.Client) error { return c.Users.ResetTotp(ctx, target) })
		}),
	)
}

// totpOptions is where password and code come from when nobody is asked.
type totpOptions struct {
	passwordFile, codeFile string
	qr                     bool
}

func (o *totpOptions) password(e *env) (string, error) {
	if o.passwordFile != "" {
		return e.password(loginOptions{file: o.passwordFile})
	}
	return e.readSecret(e.say("Password: ", "密码: "))
}

func (o *totpOptions) code(e *env) (string, error) {
	if o.codeFile != "" {
		return e.password(loginOptions{file: o.codeFile})
	}
	return e.readSecret(e.say("Code of the second factor: ", "二次验证码: "))
}

func newTotpEnrol(e *env) *cobra.Command {
	var opts totpOptions
	c := verb("enrol", "Make the secret of a second factor, shown once", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		password, err := opts.password(e)
		if err != nil {
			return err
		}
		uri := ""
		err = act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.TotpEnrolment, error) {
			made, err := c.Auth.EnrolTotp(ctx, api.EnrolTotp{Password: password})
			uri = made.URI
			return made, err
		})
		if err != nil || !opts.qr && !(e.outTTY && e.errTTY) {
			return err
		}
		return e.showQR(uri)
	})
	c.Long = "Make the secret of a second factor. Scan the QR code with an authenticator, or type the secret into it;\n" +
		"then run evcsctl user totp confirm. Sign-ins ask for nothing before that."
	c.Flags().StringVar(&opts.passwordFile, "password-file", "", "read the password from a file")
	c.Flags().BoolVar(&opts.qr, "qr", false, "show the QR code (on stderr) also when no terminal is there")
	return c
}

// showQR draws a text as a QR code, beside the output.
func (e *env) showQR(text string) error {
	code, err := qrcode.New(text, qrcode.Low)
	if err != nil {
		return fmt.Errorf("draw the QR code: %w", err)
	}
	_, err = fmt.Fprint(e.Err, code.ToSmallString(false))
	return err
}

func newTotpConfirm(e *env) *cobra.Command {
	var opts totpOptions
	c := verb("confirm", "Confirm the second factor with a code; recovery codes are shown once", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		code, err := opts.code(e)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.RecoveryCodes, error) {
			return c.Auth.ConfirmTotp(ctx, api.ConfirmTotp{Code: code})
		})
	})
	c.Flags().StringVar(&opts.codeFile, "code-file", "", "read the code from a file")
	return c
}

func newTotpDisable(e *env) *cobra.Command {
	var opts totpOptions
	c := verb("disable", "End the own second factor", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		password, err := opts.password(e)
		if err != nil {
			return err
		}
		code, err := opts.code(e)
		if err != nil {
			return err
		}
		return do(ctx, e, e.say("Second factor disabled", "已停用二次验证"), func(ctx context.Context, c *client.Client) error {
			return c.Auth.DisableTotp(ctx, api.DisableTotp{Password: password, Code: code})
		})
	})
	c.Flags().StringVar(&opts.passwordFile, "password-file", "", "read the password from a file")
	c.Flags().StringVar(&opts.codeFile, "code-file", "", "read the code or a recovery code from a file")
	return c
}

// asksForCode reports whether a sign-in was refused for want of the second
// factor alone: the password was right.
func asksForCode(err error) bool {
	var refused *client.Error
	if !errors.As(err, &refused) {
		return false
	}
	var facts struct{ TotpRequired bool }
	return json.Unmarshal(refused.Data, &facts) == nil && facts.TotpRequired
}

package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

// wireSealing makes what seals stored secrets. It ends the start when something
// in the store is sealed with a key that is not here.
func (d *Daemon) wireSealing(ctx context.Context, p *parts) (err error) {
	if p.rotation, err = newRotation(ctx, d.db, d.opt); err != nil {
		return err
	}
	p.sealer = p.rotation.Sealer
	return p.rotation.Hold(ctx)
}

func newRotation(ctx context.Context, db *store.DB, opt Options) (*auth.Rotation, error) {
	listed, err := db.Sealed().SealingKeys(ctx)
	if err != nil {
		return nil, err
	}
	if len(listed) > 0 {
		if err := keyThere(opt.Config.Auth.SealingKey, opt.Config.DataDir); err != nil {
			return nil, err
		}
	}
	return rotationOf(db, opt)
}

func rotationOf(db *store.DB, opt Options) (*auth.Rotation, error) {
	keys, err := sealingKeys(opt.Config.Auth.SealingKey, opt.Config.DataDir)
	if err != nil {
		return nil, err
	}
	sealer, err := auth.NewSealer(keys[0], keys[1:]...)
	if err != nil {
		return nil, err
	}
	return &auth.Rotation{
		Clock: opt.Clock, Store: db.Sealed(), Sealer: sealer,
		Vault: func(kind, text string, reseal func(string) (string, error)) (string, error) {
			if kind == store.SealedMerchants {
				return payment.ResealVault(text, reseal)
			}
			return reseal(text)
		},
		Holders: func(ctx context.Context) ([]auth.KeyHolder, error) {
			nodes, err := db.Watched().Nodes(ctx, opt.Clock.Now().Add(-health.Silence))
			list := make([]auth.KeyHolder, len(nodes))
			for i, n := range nodes {
				list[i] = auth.KeyHolder{Node: n.ID, Keys: n.Build.SealingKeys}
			}
			return list, err
		},
	}, nil
}

// keysHeld fails when another node seals with a key that this one was not given.
func keysHeld(r *auth.Rotation) func(context.Context) error {
	return func(ctx context.Context) error {
		err := r.Hold(ctx)
		if errors.Is(err, auth.ErrKeyMissing) {
			return health.Reason(err.Error())
		}
		return err
	}
}

// keys are the commands on sealing keys.
func (p program) keys() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Change the key that seals stored secrets", Args: cobra.NoArgs,
		Long: "Secrets of chargers, merchant accounts, webhooks, notification channels and second factors are sealed with the first key of auth.sealingKey, or of sealing.key in the data directory; the further ones only open.\n\n" +
			"To change the key: give every node the new key behind the old one and start it again, then put the new key first on every node in the same way, then \"evcsd keys reseal\", then take the old key out. A single node that keeps its key in the data directory does with \"evcsd keys new\", a restart, \"evcsd keys reseal\", \"evcsd keys drop\" and a restart. What is done is put on the audit record.",
	}
	cmd.AddCommand(
		p.with("list", "Count what is sealed with each key", p.listKeys),
		p.with("new", "Make a new sealing key, the first of the data directory's file", p.newKey),
		p.with("reseal", "Seal everything with the first key; nodes go on meanwhile", p.reseal),
		p.with("drop", "Take out of the data directory's file what nothing is sealed with", p.dropKeys),
	)
	abandon := &cobra.Command{Use: "abandon KEY", Short: "Serve without a key that is lost; what it sealed must be set anew", Args: cobra.ExactArgs(1)}
	abandon.RunE = func(cmd *cobra.Command, args []string) error {
		return p.with("", "", func(ctx context.Context, c config.Config) error { return p.abandonKey(ctx, c, args[0]) }).RunE(cmd, nil)
	}
	cmd.AddCommand(abandon)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// withKeys opens the store for a command on sealing keys.
func (p program) withKeys(ctx context.Context, c config.Config, f func(db *store.DB, opt Options, r *auth.Rotation) error) error {
	return p.withStore(ctx, c, func(db *store.DB, opt Options) error {
		r, err := newRotation(ctx, db, opt)
		if err != nil {
			return err
		}
		return f(db, opt, r)
	})
}

func (p program) withStore(ctx context.Context, c config.Config, f func(db *store.DB, opt Options) error) error {
	opt := p.options(c)
	opt.Clock = evcs.SystemClock{}
	db, err := openStore(ctx, opt)
	if err != nil {
		return err
	}
	state, err := db.Schema(ctx)
	switch {
	case err != nil:
	case !state.Current():
		err = fmt.Errorf("the database has schema %d, this program needs %d: run \"evcsd migrate\" first", state.Have, state.Want)
	default:
		err = f(db, opt)
	}
	return errors.Join(err, db.Close())
}

func (p program) listKeys(ctx context.Context, c config.Config) error {
	return p.withKeys(ctx, c, func(_ *store.DB, _ Options, r *auth.Rotation) error {
		uses, err := r.Uses(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "KEY\tSECRETS\tSTATE")
		for _, u := range uses {
			fmt.Fprintf(table, "%s\t%d\t%s\n", keyName(u.Name), u.Count, keyState(u))
		}
		return table.Flush()
	})
}

func keyName(name string) string {
	if name == "" {
		return "unknown"
	}
	return name
}

func keyState(u auth.KeyUse) string {
	switch {
	case u.Seals:
		return "seals"
	case u.Held && u.Count == 0:
		return "opens; nothing is sealed with it"
	case u.Held:
		return "opens"
	}
	return "not here"
}

// errKeysGiven refuses to change a file that is not what evcsd reads.
var errKeysGiven = fmt.Errorf("%w: the keys are given by auth.sealingKey: change them there (openssl rand -hex 32 makes one)", errUsage)

// ownKeys are the keys of the data directory's file.
func ownKeys(c config.Config) ([][keyBytes]byte, error) {
	if c.Auth.SealingKey != "" {
		return nil, errKeysGiven
	}
	if err := keyThere("", c.DataDir); err != nil {
		return nil, err
	}
	return sealingKeys("", c.DataDir)
}

// local is who calls evcsd at the host: nobody of the installation's users.
var local = &evcs.Actor{Tenant: evcs.PlatformTenant, Name: "local operator"}

// recordTime is how long the record may take.
const recordTime = 30 * time.Second

// keyDone is what a command on sealing keys did.
type keyDone struct {
	action tenant.Action
	key    string         // the name of the key that it is about
	facts  map[string]any // further ones; names of keys, never keys
	err    error          // why it failed
}

// recorded puts what was done, or tried in vain, on the audit record, and
// returns the fault of either. Nobody is told that it is done before.
func (p program) recorded(ctx context.Context, db *store.DB, opt Options, done keyDone) error {
	facts := map[string]any{"program": "evcsd " + p.build.Version}
	if who, err := user.Current(); err == nil {
		facts["osUser"] = who.Username
	}
	if host, err := os.Hostname(); err == nil {
		facts["host"] = host
	}
	maps.Copy(facts, done.facts)
	row := tenant.AuditRow{
		At: opt.Clock.Now(), Action: done.action, Target: evcs.PlatformTenant, TargetType: tenant.KindSealingKey, TargetID: done.key,
		Success: done.err == nil, Details: facts,
	}
	if done.err != nil {
		row.ErrorCode, row.ErrorMessage = evcs.CodeInternalError, done.err.Error()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime) // what is done is recorded also when it was interrupted
	defer cancel()
	err := db.Transact(ctx, func(tx *store.Tx) error { return tenant.Audit(ctx, tx.Tenants(), local, row) })
	if err != nil {
		err = fmt.Errorf("%s is not on the audit record: %w", done.action, err)
	}
	return errors.Join(done.err, err)
}

func (p program) newKey(ctx context.Context, c config.Config) error {
	keys, err := ownKeys(c)
	if err != nil {
		return err
	}
	var made [keyBytes]byte
	rand.Read(made[:]) // never fails
	keys = slices.Insert(keys, 0, made)
	sealer, err := auth.NewSealer(keys[0], keys[1:]...)
	if err != nil {
		return err
	}
	return p.withStore(ctx, c, func(db *store.DB, opt Options) error {
		done := keyDone{tenant.SealingKeyNew, sealer.Keys()[0], map[string]any{"keys": sealer.Keys()}, writeKeys(c.DataDir, keys)}
		if err := p.recorded(ctx, db, opt, done); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.out, "the new sealing key is %s, the first of %s: back the file up, start evcsd again, then run \"evcsd keys reseal\"\n",
			done.key, filepath.Join(c.DataDir, sealingFile))
		return err
	})
}

func (p program) dropKeys(ctx context.Context, c config.Config) error {
	keys, err := ownKeys(c)
	if err != nil {
		return err
	}
	return p.withKeys(ctx, c, func(db *store.DB, opt Options, r *auth.Rotation) error {
		names := r.Sealer.Keys()
		err := r.Spare(ctx)
		if err == nil {
			err = writeKeys(c.DataDir, keys[:1])
		}
		if err := p.recorded(ctx, db, opt, keyDone{tenant.SealingKeyDrop, names[0], map[string]any{"keys": names}, err}); err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.out, "%s is the only sealing key now\n", names[0])
		return err
	})
}

func (p program) reseal(ctx context.Context, c config.Config) error {
	return p.withKeys(ctx, c, func(db *store.DB, opt Options, r *auth.Rotation) error {
		done, err := r.Reseal(ctx, func(rows int) { fmt.Fprintln(p.err, "sealed anew:", rows) })
		if err == nil && done.Failed > 0 {
			err = fmt.Errorf("%d rows could not be opened and stay as they are", done.Failed)
		}
		key := r.Sealer.Keys()[0]
		facts := map[string]any{"rows": done.Rows, "failed": done.Failed, "gone": slices.Concat([]string{}, done.Gone)}
		err = p.recorded(ctx, db, opt, keyDone{tenant.SealingKeyReseal, key, facts, err})
		fmt.Fprintf(p.out, "sealed anew: %d rows, with %s\n", done.Rows, key)
		for _, name := range done.Gone {
			fmt.Fprintf(p.out, "nothing is sealed with %s any more: take it out and start every node again\n", name)
		}
		for _, fault := range done.Faults {
			fmt.Fprintln(p.err, fault)
		}
		return err
	})
}

func (p program) abandonKey(ctx context.Context, c config.Config, name string) error {
	return p.withStore(ctx, c, func(db *store.DB, opt Options) error {
		r, err := rotationOf(db, opt) // makes a key when the file is what was lost
		if err != nil {
			return err
		}
		facts := map[string]any{"keys": r.Sealer.Keys()}
		if err := p.recorded(ctx, db, opt, keyDone{tenant.SealingKeyAbandon, name, facts, r.Abandon(ctx, name)}); err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.out, "%s is given up: what it sealed must be set anew\n", name)
		return err
	})
}

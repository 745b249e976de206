package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// The forms of a report beside those of every object.
const (
	reportCSV  = "csv"
	reportHTML = "html"
)

// reportOptions is in what form a report is written and where to.
type reportOptions struct{ as, file string }

func newReconcileReport(e *env) *cobra.Command {
	var opts reportOptions
	c := verb("report <batch-id>", "Show the report of a day, or write it as CSV or as a page to print", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		batch, err := parseID(args[0])
		if err != nil {
			return err
		}
		return reconcileReport(ctx, e, batch, opts)
	})
	c.Long = "Show all there is to know of a reconciled day: figures, differences and what became of them, suspense,\n" +
		"the journal, the days before and the proof. --as html writes one page without scripts, with charts, in the\n" +
		"language of --lang, to print or to keep; --as csv one table with every difference."
	c.Flags().StringVar(&opts.as, "as", "", "csv or html; by default as --output says")
	c.Flags().StringVar(&opts.file, "out", "", "write to this new file instead of standard output")
	return c
}

func reconcileReport(ctx context.Context, e *env, batch int64, opts reportOptions) error {
	if err := oneOf("as", opts.as, reportCSV, reportHTML); err != nil {
		return err
	}
	if opts.as == "" {
		if opts.file != "" {
			return usage("--out needs --as csv or --as html")
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.ReconReport, error) {
			return c.Recon.Report(ctx, batch)
		})
	}
	if e.globals.output != "" || e.globals.jq != "" || e.globals.template != "" {
		return usage("--as does not go with --output, --jq and --template")
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	save := func(out io.Writer) error { return c.Recon.ReportCSV(ctx, batch, out) }
	if opts.as == reportHTML {
		save = func(out io.Writer) error { return c.Recon.ReportPage(ctx, batch, out) }
	}
	if opts.file == "" {
		return save(e.Out)
	}
	return writeFile(opts.file, save)
}

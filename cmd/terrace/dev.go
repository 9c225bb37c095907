package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/device/pkcs11"
	"github.com/terrace-pki/terrace/internal/nationalroot"
)

func devCommand() *cobra.Command {
	dev := &cobra.Command{Use: "dev", Short: "Help for development: a national root, a token"}
	dev.AddCommand(nationalRootCommand(), tokenInitCommand())
	return dev
}

func nationalRootCommand() *cobra.Command {
	var dir, csr, out string
	cmd := &cobra.Command{Use: "national-root", Args: cobra.NoArgs, Short: "Play the national root: make it, certify a CA's signing request, sign its CRL",
		Long: `Play the national root in a folder. On first use the root is made. With --csr a
CA certificate is issued for the signing request and written to --out; the same
key gets the same certificate again. The folder then holds root.pem and root.crl.`,
		Example: `  kubectl get industryca industry -n ministry -o jsonpath='{.status.certificateSigningRequest}' | base64 -d |
    terrace dev national-root --dir .terrace/national-root --csr - --out industry.pem`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := nationalroot.Open(cmd.Context(), dir, time.Now())
			if err != nil {
				return err
			}
			if _, err := root.CRL(time.Now()); err != nil {
				return err
			}
			if csr == "" {
				_, err := cmd.OutOrStdout().Write(root.CertificatePEM())
				return err
			}
			request, err := readInput(cmd.InOrStdin(), csr)
			if err != nil {
				return fmt.Errorf("--csr: %w", err)
			}
			cert, err := root.Certify(request, time.Now())
			if err != nil {
				return err
			}
			if out == "" {
				_, err := cmd.OutOrStdout().Write(cert)
				return err
			}
			return os.WriteFile(out, cert, 0o644)
		}}
	cmd.Flags().StringVar(&dir, "dir", ".terrace/national-root", "the root's folder")
	cmd.Flags().StringVar(&csr, "csr", "", "PEM signing request, - for standard input")
	cmd.Flags().StringVar(&out, "out", "", "where the certificate goes; default standard output")
	return cmd
}

// maxInput bounds what a command reads from a file or standard input.
const maxInput = 1 << 20

func readInput(stdin io.Reader, path string) ([]byte, error) {
	return readBounded(stdin, path, maxInput)
}

func tokenInitCommand() *cobra.Command {
	var module, label, pinFile, soPINFile string
	var slot int64
	cmd := &cobra.Command{Use: "token-init", Args: cobra.NoArgs, Short: "Initialise a PKCS#11 token, unless it has this label already",
		RunE: func(*cobra.Command, []string) error {
			pin, err := os.ReadFile(pinFile)
			if err != nil {
				return fmt.Errorf("--pin-file: %w", err)
			}
			soPIN, err := os.ReadFile(soPINFile)
			if err != nil {
				return fmt.Errorf("--so-pin-file: %w", err)
			}
			return pkcs11.InitToken(module, slot, label, soPIN, pin)
		}}
	cmd.Flags().StringVar(&module, "module", "", "path of the PKCS#11 module")
	cmd.Flags().Int64Var(&slot, "slot", 0, "slot number")
	cmd.Flags().StringVar(&label, "label", "", "label of the token")
	cmd.Flags().StringVar(&pinFile, "pin-file", "", "file with the user PIN")
	cmd.Flags().StringVar(&soPINFile, "so-pin-file", "", "file with the security officer's PIN")
	for _, f := range []string{"module", "label", "pin-file", "so-pin-file"} {
		_ = cmd.MarkFlagRequired(f) // the flag exists
	}
	return cmd
}

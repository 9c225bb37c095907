package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/pki"
)

func inspectCommand() *cobra.Command {
	return &cobra.Command{Use: "inspect FILE", Args: cobra.ExactArgs(1), Short: "Show the certificates of a PEM file, - for standard input",
		Example: "  kubectl get certreq first -o jsonpath='{.status.certificate}' | base64 -d | kubectl terrace inspect -",
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readInput(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			certs, err := pki.ParseCertificatesPEM(b, 64)
			if err != nil {
				return err
			}
			for _, c := range certs {
				subject, err := pki.ParseNameDER(c.RawSubject)
				if err != nil {
					return err
				}
				issuer, err := pki.ParseNameDER(c.RawIssuer)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "subject   %s\nissuer    %s\nserial    %s\nvalid     %s to %s\nCA        %t\nCRL       %v\nOCSP      %v\n\n",
					subject, issuer, pki.SerialFromInt(c.SerialNumber), c.NotBefore.UTC().Format("2006-01-02 15:04:05"), c.NotAfter.UTC().Format("2006-01-02 15:04:05Z"),
					c.IsCA, c.CRLDistributionPoints, c.OCSPServer)
			}
			return nil
		}}
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/app"
)

func validationCommand() *cobra.Command {
	var c app.ValidationConfig
	cmd := &cobra.Command{Use: "validation", Args: cobra.NoArgs, Short: "Run a validation node: OCSP, CRLs and CA certificates (service zone, 服务区)",
		Long: `Run a validation node: OCSP, CRLs and CA certificates (service zone, 服务区).

It needs neither the API server nor the ledger: the CA process pushes to it what
it answers from, by signed messages, and it answers on while nobody pushes. Its
OCSP key is made once in its own device and never leaves it; the CAs certify it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.Validate(); err != nil {
				return err
			}
			return app.RunValidation(cmd.Context(), c, newLog())
		}}
	f := cmd.Flags()
	processFlags(f, &c.Process)
	linkFlags(f, &c.Links, "validation")
	f.StringVar(&c.DataDir, "data-dir", "/var/lib/terrace/validation", "folder of the replica, on a local file system")
	f.StringVar(&c.PushAddress, "push-address", ":9445", "address where the CA process pushes")
	f.StringVar(&c.ValidationAddress, "validation-address", ":8080", "address of OCSP, CRLs and CA certificates")
	f.StringVar(&c.KeystoreDir, "keystore-dir", "", "folder of a software keystore for the OCSP key")
	f.StringVar(&c.PasswordFile, "keystore-password-file", "", "file with the keystore's password")
	f.StringVar(&c.PKCS11Module, "pkcs11-module", "", "absolute path of the PKCS#11 module for the OCSP key, in place of a keystore")
	f.StringVar(&c.TokenLabel, "token-label", "", "label of the PKCS#11 token")
	f.StringVar(&c.PINFile, "pin-file", "", "file with the PIN of the PKCS#11 token")
	f.StringVar(&c.MechanismProfile, "mechanism-profile", "Sansec", "how the PKCS#11 token does SM2; see docs/cryptodevice.md")
	return cmd
}

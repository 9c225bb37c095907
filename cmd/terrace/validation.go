package main

import (
	"github.com/spf13/cobra"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
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
	f.StringVar(&c.SDF.LibraryPath, "sdf-library", "", "absolute path of the SDF library for the OCSP key, in place of a keystore")
	f.StringVar(&c.SDFPasswordFile, "sdf-password-file", "", "file with the access password of the two keys")
	f.Int32Var(&c.SDFKeyIndex, "sdf-key-index", 0, "index of the OCSP key, which the maker's tool made")
	f.Int32Var(&c.SDF.SelfTestKeyIndex, "sdf-self-test-key-index", 0, "index of a key pair for the self-test alone")
	f.StringVar((*string)(&c.SDF.Structures), "sdf-structures", string(pkiv1.SDFStructuresBits512), "ECCref_MAX_BITS of the maker's header: Bits512 or Bits256")
	f.StringVar((*string)(&c.SDF.Padding), "sdf-padding", string(pkiv1.SDFPaddingLeading), "where the zeros of a number's field stand: Leading or Trailing")
	f.StringVar((*string)(&c.SDF.Algorithms), "sdf-algorithms", string(pkiv1.SDFAlgorithmsGBT33560), "algorithm numbers of the maker's header: GBT33560 or Early")
	return cmd
}

package main

import (
	"github.com/spf13/cobra"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

func approveCommand() *cobra.Command {
	return decisionCommand(pkiv1.DecisionApprove, &cobra.Command{Use: "approve REQUEST | businessca/NAME",
		Short: "Approve a certificate request, or as an officer a subordinate CA",
		Long: `Approve a CertificateRequest, or as an officer a BusinessCA.

Shows what is asked for, then creates an Approval in the namespace of the
registration authority (of the CA for a BusinessCA). The Approval is bound to the
digest of what was shown. It needs the verb "approve" on the RegistrationAuthority
(on the issuing CA), and you must not be the applicant. Asking twice is asking once.

A BusinessCA also needs the signature of an officer whom the process beside the
issuing key knows: --officer names the officer, --key the file with the SM2 key
(PKCS#8 PEM), which only its owner may be able to read.`,
		Example: `  kubectl terrace approve first -n ministry
  kubectl terrace approve first -n ministry --comment "seen in person" --dry-run
  kubectl terrace approve businessca/province -n ministry --officer wang --key wang.key`})
}

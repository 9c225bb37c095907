package main

import (
	"github.com/spf13/cobra"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

func denyCommand() *cobra.Command {
	return decisionCommand(pkiv1.DecisionDeny, &cobra.Command{Use: "deny REQUEST | businessca/NAME",
		Short: "Deny a certificate request, or as an officer a subordinate CA",
		Long: `Deny a CertificateRequest, or as an officer a BusinessCA. One denial ends the
request for ever; the applicant can ask again under another name. It needs the
same verb as "approve".`,
		Example: `  kubectl terrace deny first -n ministry --comment "not employed here"
  kubectl terrace deny businessca/province -n ministry --officer wang --key wang.key`})
}

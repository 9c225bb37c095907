package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/terrace-pki/terrace/internal/device/pkcs11"
)

func deviceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "device", Short: "Look into crypto devices"}
	cmd.AddCommand(doctorCommand())
	return cmd
}

// anyProfile has doctor try every profile.
const anyProfile = "auto"

func doctorCommand() *cobra.Command {
	var e pkcs11.Examination
	var slot int64
	var pinFile, profile string
	var asJSON bool
	cmd := &cobra.Command{Use: "doctor", Args: cobra.NoArgs, Short: "Find out what a PKCS#11 token can do, what is wrong, and how to mend it",
		Long: `Find out what the token behind a PKCS#11 module can do, what is wrong, and how to
mend it: mechanisms, PIN, how it signs, the forms of signature and public point,
decryption, sessions and rate. The last lines are the CryptoDevice that fits it.

It logs in once, makes throw-away keys and removes them; no other key is touched.
Run it on the host of the process that uses the device, as that process's user.

Exit status: 0 when the token can be used (WARN tells of limits), 1 when something
must be mended first, 2 when it could not be looked at.`,
		Example: `  terrace device doctor --module /usr/lib/pkcs11/hsm.so --token-label ministry
  terrace device doctor --module /usr/lib/pkcs11/hsm.so --slot 3 --pin-file /run/secrets/pin --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("slot") {
				if slot < 0 {
					return unreadable(fmt.Errorf("--slot %d: is negative", slot))
				}
				e.Slot = &slot
			}
			if profile != anyProfile {
				p, err := pkcs11.Lookup(profile)
				if err != nil {
					return unreadable(fmt.Errorf("--profile: %w", err))
				}
				e.Profiles = []pkcs11.Profile{p}
			}
			e.PIN = func() ([]byte, error) { return readPIN(cmd, pinFile) }
			report, err := pkcs11.Examine(cmd.Context(), e)
			if err != nil {
				return unreadable(err)
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					*pkcs11.Report
					Failed   bool   `json:"failed"`
					Manifest string `json:"manifest,omitempty"`
				}{report, report.Failed(), report.Manifest()})
			} else {
				_, err = fmt.Fprint(cmd.OutOrStdout(), report)
			}
			if err == nil && report.Failed() {
				err = exitError{exitFindings, errors.New("the token cannot be used like this; see FAIL above")}
			}
			return err
		}}
	f := cmd.Flags()
	f.StringVar(&e.ModulePath, "module", "", "absolute path of the PKCS#11 module")
	f.StringVar(&e.TokenLabel, "token-label", "", "label of the token; needed when there are several")
	f.Int64Var(&slot, "slot", 0, "slot number of the token")
	f.StringVar(&pinFile, "pin-file", "", "file with the user PIN; default: ask at the terminal")
	f.StringVar(&profile, "profile", anyProfile, "the mechanism profile to try; auto tries all")
	f.IntVar(&e.Sessions, "sessions", pkcs11.DefaultMaxSessions, "sessions to open at once, 1 to 256")
	f.BoolVar(&asJSON, "json", false, "print the findings as JSON")
	_ = cmd.MarkFlagRequired("module") // the flag exists
	return cmd
}

// readPIN reads a file, or asks at the terminal without showing what is typed.
func readPIN(cmd *cobra.Command, path string) ([]byte, error) {
	if path != "" {
		b, err := readInput(cmd.InOrStdin(), path)
		if err != nil {
			return nil, fmt.Errorf("--pin-file: %w", err)
		}
		return bytes.TrimRight(b, "\r\n"), nil
	}
	shown, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS)
	if err != nil {
		return nil, errors.New("--pin-file: required, for there is no terminal to ask for the PIN")
	}
	hidden := *shown
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, &hidden); err != nil {
		return nil, fmt.Errorf("hide the PIN at the terminal: %w", err)
	}
	defer func() {
		_ = unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, shown)
		fmt.Fprintln(cmd.ErrOrStderr())
	}()
	fmt.Fprint(cmd.ErrOrStderr(), "PIN of the token's user: ")
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, pkcs11.MaxPIN+2)).ReadString('\n')
	if err != nil && line == "" {
		return nil, err
	}
	return []byte(strings.TrimRight(line, "\r\n")), nil
}

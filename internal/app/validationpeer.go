package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-pki/terrace/internal/link"
)

// solePeer is the peers file of a validation node. Whoever is in it may push,
// and two that push from two ledgers would undo each other's work: it names one
// process, the CA's, or nobody is believed.
type solePeer struct{ file *link.PeersFile }

var _ link.Directory = solePeer{}

// check says whether the file names exactly one.
func (s solePeer) check() error {
	names := s.file.Names()
	if len(names) == 1 {
		return nil
	}
	slices.Sort(names)
	if len(names) == 0 {
		return errors.New("--peers: names nobody; a validation node has exactly one peer, the CA process that pushes to it")
	}
	return fmt.Errorf("--peers: names %d processes (%.200s); a validation node has exactly one peer, the CA process that pushes to it: take the others out",
		len(names), strings.Join(names, ", "))
}

// Peer implements link.Directory.
func (s solePeer) Peer(name string) (link.Peer, bool) {
	if s.check() != nil {
		return link.Peer{}, false
	}
	return s.file.Peer(name)
}

package ldap

import (
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"
	"github.com/terrace-pki/terrace/directory"
)

// slapdLimit is the largest request that slapd takes of an authenticated client
// unless it is configured otherwise. It closes the connection on a larger one.
const slapdLimit = 4194303

// classes maps result codes of RFC 4511 Appendix A to what they mean for a caller.
var classes = map[uint16]error{
	ldap.LDAPResultStrongAuthRequired:          directory.ErrCredentials,
	ldap.LDAPResultConfidentialityRequired:     directory.ErrCredentials,
	ldap.LDAPResultInappropriateAuthentication: directory.ErrCredentials,
	ldap.LDAPResultInvalidCredentials:          directory.ErrCredentials,
	ldap.LDAPResultInsufficientAccessRights:    directory.ErrCredentials,
	ldap.LDAPResultReferral:                    directory.ErrReferral,
	ldap.LDAPResultSizeLimitExceeded:           directory.ErrTooLarge,
	ldap.LDAPResultAdminLimitExceeded:          directory.ErrTooLarge,
	ldap.LDAPResultNoSuchObject:                directory.ErrNotFound,
	ldap.LDAPResultEntryAlreadyExists:          directory.ErrExists,
	ldap.LDAPResultNotAllowedOnNonLeaf:         directory.ErrNotLeaf,
	ldap.LDAPResultBusy:                        directory.ErrUnavailable,
	ldap.LDAPResultUnavailable:                 directory.ErrUnavailable,
	ldap.LDAPResultTimeLimitExceeded:           directory.ErrUnavailable,
}

// classed is an error whose text tells more than that of its class.
type classed struct{ class, err error }

func (c *classed) Error() string   { return c.err.Error() }
func (c *classed) Unwrap() []error { return []error{c.class, c.err} }

// wrap says what failed, where, and of which class it is. No request is part of
// the text, so that no password is.
func (s *Server) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	answer, ok := answerOf(err)
	if !ok {
		return fmt.Errorf("LDAP server %s: %s: %w: %w", s.config.Address, what, directory.ErrUnavailable, err)
	}
	switch class := classes[answer.ResultCode]; class {
	case nil:
		return fmt.Errorf("LDAP server %s: %s: %w", s.config.Address, what, err)
	case directory.ErrReferral:
		return fmt.Errorf("LDAP server %s: %s: %w (%s); write to the master, or as the account that the slave takes writes from", s.config.Address, what, class, referral(answer))
	default:
		return fmt.Errorf("LDAP server %s: %s: %w: %w", s.config.Address, what, class, err)
	}
}

// answerOf returns the server's answer, if err is one: go-ldap's own result
// codes, from 200 on, mean that none came, and so do errors of other types.
func answerOf(err error) (*ldap.Error, bool) {
	var answer *ldap.Error
	if !errors.As(err, &answer) || answer.ResultCode >= ldap.ErrorNetwork {
		return nil, false
	}
	return answer, true
}

// tooLarge explains a connection that broke on a request above slapd's limit.
func (s *Server) tooLarge(what string, size int, err error) error {
	return fmt.Errorf("LDAP server %s: %s: %w: the connection broke on a request of %d bytes; "+
		"slapd takes 4 MiB unless sockbuf_max_incoming_auth (olcSockbufMaxIncomingAuth; olcSockbufMaxIncoming for anonymous) says more: raise it, or shard the CRL: %w",
		s.config.Address, what, directory.ErrTooLarge, size, err)
}

// referral finds the first URI of an answer's referral (RFC 4511 §4.1.10).
func referral(answer *ldap.Error) string {
	const tag = 3
	if answer.Packet != nil && len(answer.Packet.Children) > 1 {
		for _, c := range answer.Packet.Children[1].Children {
			if c.Tag == tag && len(c.Children) > 0 {
				if uri, ok := c.Children[0].Value.(string); ok && len(uri) < 2048 {
					return uri
				}
			}
		}
	}
	return "no URI given"
}

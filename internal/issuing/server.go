package issuing

import (
	"context"
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/registration"
)

// Register has a link's server answer for the desk. What a peer may ask for
// stands in the peers file of this process, not in the API.
func (d *Desk) Register(s *link.Server) {
	link.Handle(s, methodFind, d.handleFind)
	link.Handle(s, methodIssue, d.handleIssue)
	link.Handle(s, methodPerform, d.handlePerform)
	link.Handle(s, methodPublish, d.handlePublish)
	link.Handle(s, methodReady, d.handleReady)
}

func (d *Desk) handleFind(ctx context.Context, peer link.Peer, r findRequest) (known, error) {
	k, err := d.Find(ctx, r.Kind, r.Namespace, r.Name)
	if err != nil {
		return known{}, err
	}
	if err := entitled(peer.MayAct(k.Issuer.Authority)); err != nil {
		return known{}, err
	}
	return known{Digest: k.Digest, item: toItem(k.Issued)}, nil
}

func (d *Desk) handleIssue(ctx context.Context, peer link.Peer, r issueRequest) (issueResponse, error) {
	if err := entitled(peer.MayAct(r.Authority)); err != nil {
		return issueResponse{}, err
	}
	for _, o := range r.Orders {
		if err := entitled(peer.MayActForRegistration(o.RegistrationAuthority)); err != nil {
			return issueResponse{}, err
		}
		if err := entitled(peer.MayBring(o.Identity.Namespace)); err != nil {
			return issueResponse{}, err
		}
	}
	issued, err := d.Issue(ctx, r.Authority, r.Orders)
	if err != nil {
		return issueResponse{}, err
	}
	items := make([]item, len(issued))
	for i, one := range issued {
		// The name was used with another CA, whose certificates are not for this peer.
		if one.Err == nil && peer.MayAct(one.Issuer.Authority) != nil {
			one = registration.Issued{Err: authority.ErrConflict}
		}
		items[i] = toItem(one)
	}
	return issueResponse{items}, nil
}

func (d *Desk) handlePerform(ctx context.Context, peer link.Peer, act registration.Act) (authority.Performed, error) {
	if err := entitled(peer.MayBring(act.Identity.Namespace)); err != nil {
		return authority.Performed{}, err
	}
	issuer := act.Authority
	if act.TrustListSigner != "" {
		issuer = act.TrustListSigner
	} else if act.CertificateAuthority != "" {
		kind, namespace, name, err := split(act.CertificateAuthority)
		if err != nil {
			return authority.Performed{}, fmt.Errorf("%w: %w", registration.ErrInvalidOrder, err)
		}
		k, err := d.Find(ctx, kind, namespace, name)
		if err != nil {
			return authority.Performed{}, err
		}
		issuer = k.Issuer.Authority
	} else if err := entitled(peer.MayActForRegistration(act.RegistrationAuthority)); err != nil {
		return authority.Performed{}, err
	}
	if err := entitled(peer.MayAct(issuer)); err != nil {
		return authority.Performed{}, err
	}
	return d.Perform(ctx, act)
}

func (d *Desk) handlePublish(ctx context.Context, peer link.Peer, r publishRequest) (publishResponse, error) {
	if err := entitled(peer.MayAct(r.Issuer.Authority)); err != nil {
		return publishResponse{}, err
	}
	n, err := d.Publish(ctx, r.Issuer, r.Serial)
	return publishResponse{n}, err
}

func (d *Desk) handleReady(ctx context.Context, peer link.Peer, r readyRequest) (empty, error) {
	if err := entitled(peer.MayAct(r.Authority)); err != nil {
		return empty{}, err
	}
	return empty{}, d.Ready(ctx, r.Authority)
}

func entitled(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w; add it to the CA's peers file if it should", registration.ErrNotEntitled, err)
}

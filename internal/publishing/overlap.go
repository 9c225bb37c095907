package publishing

import (
	"fmt"

	"github.com/terrace-pki/terrace/directory"
)

// OverlapError refuses a Directory that would write where another one does:
// each would remove what the other writes.
type OverlapError struct {
	// Server of the refused one.
	Server string
	// Other is the namespace and name of the accepted one.
	Namespace, Name string
}

func (e *OverlapError) Error() string {
	return fmt.Sprintf("server %q: Directory %s/%s has entries under an overlapping baseDN on the same server; give this one another base, or delete that object first",
		e.Server, e.Namespace, e.Name)
}

// Overlap returns an OverlapError if one of servers is one of others and the
// bases of the two specs overlap.
func Overlap(spec Spec, servers []Server, other Spec, others []Server) error {
	if spec.ID() == other.ID() || other.Retired {
		return nil
	}
	if overlap, err := directory.Overlap(spec.Base, other.Base); err != nil || !overlap {
		return err
	}
	for _, s := range servers {
		for _, o := range others {
			if s.sameServer(o) {
				return &OverlapError{Server: s.Name, Namespace: other.Namespace, Name: other.Name}
			}
		}
	}
	return nil
}

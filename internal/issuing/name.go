package issuing

import (
	"fmt"
	"strings"
)

// split reads "kind/namespace/name" of a CA that can be revoked.
func split(authority string) (kind, namespace, name string, err error) {
	parts := strings.Split(authority, "/")
	if len(parts) != 3 || parts[0] != kindBusinessCA || parts[1] == "" || parts[2] == "" {
		return "", "", "", fmt.Errorf("CA %.400q: want BusinessCA/namespace/name", authority)
	}
	return parts[0], parts[1], parts[2], nil
}

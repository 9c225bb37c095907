package pushing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/atomicfile"
	"github.com/terrace-pki/terrace/internal/publishing"
)

// cursorFiles keep how far the slaves of one directory are, a file each. They
// need no backup: without one a slave is compared in full.
type cursorFiles struct {
	dir  string
	spec publishing.Spec
}

// cursorFile also says between which servers a cursor holds.
type cursorFile struct {
	Master string           `json:"master"`
	Slave  string           `json:"slave"`
	Cursor directory.Cursor `json:"cursor"`
}

func (c cursorFiles) path(slave string) string {
	return filepath.Join(c.dir, fileName(c.spec.ID())+"_"+slave+".json")
}

func (c cursorFiles) url(slave string) string {
	for _, s := range c.spec.Slaves {
		if s.Name == slave {
			return s.URL
		}
	}
	return ""
}

// Load implements directory.Cursors. A cursor of another server, or a file that
// cannot be read as one, is none.
func (c cursorFiles) Load(slave string) (directory.Cursor, error) {
	b, err := os.ReadFile(c.path(slave))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var f cursorFile
	if json.Unmarshal(b, &f) != nil || f.Master != c.spec.Master.URL || f.Slave != c.url(slave) {
		return "", nil
	}
	return f.Cursor, nil
}

// Save implements directory.Cursors.
func (c cursorFiles) Save(slave string, cursor directory.Cursor) error {
	b, err := json.Marshal(cursorFile{Master: c.spec.Master.URL, Slave: c.url(slave), Cursor: cursor})
	if err != nil {
		return fmt.Errorf("encode cursor: %w", err)
	}
	return atomicfile.Write(c.path(slave), b, 0o600)
}

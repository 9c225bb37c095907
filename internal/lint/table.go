package lint

import (
	"fmt"
	"strings"
)

// Table is every rule as a table in Markdown, for docs/lints.md.
func Table() string {
	var b strings.Builder
	b.WriteString("| lint | severity | of | asks that | source |\n| --- | --- | --- | --- | --- |\n")
	for _, l := range Lints() {
		severity := l.Severity.String()
		if l.GateOnly {
			severity = "before signing"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", l.Name, severity, l.Kinds, l.Demands, l.Source)
	}
	return b.String()
}

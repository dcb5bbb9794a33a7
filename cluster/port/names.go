package port

import (
	"fmt"
	"strings"
)

// checkCluster allows letters, digits, '-', '_' and '.', with no empty label:
// the name is the host of a URI in certificates, and x509 wants a domain there.
// No allowed character is ever escaped, so two names cannot meet in one URI.
func checkCluster(s string) error {
	switch {
	case s == "" || len(s) > maxCluster:
		return fmt.Errorf("cluster name %.80q must have 1 to %d bytes", s, maxCluster)
	case strings.ContainsFunc(s, odd):
		return fmt.Errorf("cluster name %q: only letters, digits, '-', '_' and '.' are allowed", s)
	case strings.Contains("."+s+".", ".."):
		return fmt.Errorf("cluster name %q must not begin or end with '.' or contain '..'", s)
	}
	return nil
}

// checkNode wants "name@boot", both parts of the characters of a cluster name.
func checkNode(s string) error {
	name, boot, _ := strings.Cut(s, "@")
	switch {
	case len(s) > maxNode:
		return fmt.Errorf("node name %.160q is longer than %d bytes", s, maxNode)
	case name == "" || boot == "":
		return fmt.Errorf("node name %q must have the form name@boot", s)
	case strings.ContainsFunc(name, odd) || strings.ContainsFunc(boot, odd):
		return fmt.Errorf("node name %q: only letters, digits, '-', '_' and '.' are allowed around one '@'", s)
	}
	return nil
}

func odd(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		return false
	}
	return true
}

package interop

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// verifierSource is the Java program; it is compiled where it is first used.
//
//go:embed java/*.java
var verifierSource embed.FS

// jars are BouncyCastle's and the Debian packages that hold them.
var jars = []struct{ path, debianPackage string }{
	{"/usr/share/java/bcprov.jar", "libbcprov-java"},
	{"/usr/share/java/bcpkix.jar", "libbcpkix-java"},
	{"/usr/share/java/bcutil.jar", "libbcutil-java"},
}

// compiled returns the class path of the Java program. It is compiled once for
// each source and each version of BouncyCastle and kept in the user's cache.
var compiled = sync.OnceValues(func() (string, error) {
	digest := sha256.New()
	var paths []string
	for _, jar := range jars {
		version, err := filepath.EvalSymlinks(jar.path)
		if err != nil {
			return "", fmt.Errorf("%w: install Debian's package %s", err, jar.debianPackage)
		}
		fmt.Fprintln(digest, version)
		paths = append(paths, jar.path)
	}
	sources, err := readSources()
	if err != nil {
		return "", err
	}
	for _, name := range sortedNames(sources) {
		fmt.Fprintln(digest, name, len(sources[name]))
		digest.Write(sources[name])
	}
	classes, err := compile(hex.EncodeToString(digest.Sum(nil)[:8]), sources, strings.Join(paths, ":"))
	if err != nil {
		return "", err
	}
	return strings.Join(append([]string{classes}, paths...), ":"), nil
})

func sortedNames(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

func readSources() (map[string][]byte, error) {
	files, err := verifierSource.ReadDir("java")
	if err != nil {
		return nil, err
	}
	sources := map[string][]byte{}
	for _, f := range files {
		if sources[f.Name()], err = verifierSource.ReadFile("java/" + f.Name()); err != nil {
			return nil, err
		}
	}
	return sources, nil
}

// compile makes the classes in a folder that is renamed when it is whole, so
// that test binaries running at the same time need no lock.
func compile(version string, sources map[string][]byte, classPath string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: set HOME or XDG_CACHE_HOME", err)
	}
	parent := filepath.Join(cache, "terrace", "interop")
	dir := filepath.Join(parent, version)
	if _, err := os.Stat(filepath.Join(dir, "Verify.class")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(parent, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(made)
	w, err := newWorkspace(sources)
	if err != nil {
		return "", err
	}
	defer w.remove()
	args := append([]string{"-encoding", "UTF-8", "-cp", classPath, "-d", made}, sortedNames(sources)...)
	if _, err := runTool(string(w), nil, "javac", args...); err != nil {
		return "", err
	}
	if err := os.Rename(made, dir); err != nil {
		if _, other := os.Stat(filepath.Join(dir, "Verify.class")); other == nil {
			return dir, nil // another process was first
		}
		return "", err
	}
	return dir, nil
}

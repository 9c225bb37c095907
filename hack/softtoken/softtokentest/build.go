// Package softtokentest gives tests a real PKCS#11 module and a token of their own.
package softtokentest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"
)

const moduleName = "libterrace-softtoken.so"

// Build returns the absolute path of the module, built from the sources beside
// this package. The build is kept in the user's cache directory under the hash of
// the sources, so that packages and runs share it; concurrent builds are safe: each
// makes its own and the last one to rename wins with the same bytes.
func Build(t testing.TB) (modulePath string) {
	t.Helper()
	path, err := build(sourceDir())
	if err != nil {
		t.Fatalf("build software token: %v", err)
	}
	return path
}

func build(source string) (string, error) {
	sum, err := hashSources(source)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	dir := filepath.Join(cache, "terrace-softtoken", sum)
	path := filepath.Join(dir, moduleName)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make cache directory: %w", err)
	}
	out, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", fmt.Errorf("make build directory: %w", err)
	}
	defer os.RemoveAll(out)
	output, err := exec.Command("make", "-C", source, "OUT="+out, "all").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make in %s: %w\n%s", source, err, output)
	}
	// A crash before the rename leaves a directory that is never looked at.
	if err := os.Rename(filepath.Join(out, moduleName), path); err != nil {
		return "", fmt.Errorf("keep the module: %w", err)
	}
	return path, nil
}

// sourceDir is the directory of the Makefile.
func sourceDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}

// hashSources covers the names and contents of everything that the build reads.
func hashSources(source string) (string, error) {
	files := []string{filepath.Join(source, "Makefile")}
	err := filepath.WalkDir(filepath.Join(source, "src"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(path, ".c") || strings.HasSuffix(path, ".h")) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("list sources: %w", err)
	}
	sort.Strings(files)
	sum := sha256.New()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read source: %w", err)
		}
		fmt.Fprintf(sum, "%s %d\n", filepath.Base(file), len(content))
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:32], nil
}

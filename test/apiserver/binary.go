package apiserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// binaryVariable names a built terrace-testapiserver.
	binaryVariable = "TERRACE_TESTAPISERVER"
	binaryName     = "terrace-testapiserver"
	binaryPackage  = "./cmd/testapiserver"
	nestedModule   = "standalone"
	// unusedFor is how long a build of other sources stays in the cache.
	unusedFor = 7 * 24 * time.Hour
)

// howToBuild is the cure that goes with each failure to have the binary.
const howToBuild = `build it once, at the top of the repository (about 12 minutes on two cores when nothing is cached):
	cd standalone && go build -ldflags "$(cat ldflags.txt)" -o ../bin/terrace-testapiserver ./cmd/testapiserver
and name it: export TERRACE_TESTAPISERVER=<path of bin/terrace-testapiserver>`

// locate returns the path of the server's binary: the one that the environment
// names, else one in the user's cache directory, which is built if need be. The
// key of the cache is the sources, and a lock lets the packages of one `go test`
// share one build.
func locate(ctx context.Context) (string, error) {
	if path := os.Getenv(binaryVariable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w; %s", binaryVariable, err, howToBuild)
		}
		return filepath.Abs(path)
	}
	module, err := findModule()
	if err != nil {
		return "", err
	}
	path, err := cached(ctx, module)
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", binaryName, err, howToBuild)
	}
	return path, nil
}

// findModule finds the nested module above the test's working directory.
func findModule() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		module := filepath.Join(dir, nestedModule)
		if _, err := os.Stat(filepath.Join(module, "ldflags.txt")); err == nil {
			return module, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no directory above this test has the module %s; %s", nestedModule, howToBuild)
		}
		dir = parent
	}
}

func cached(ctx context.Context, module string) (string, error) {
	userCache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache := filepath.Join(userCache, "terrace", "testapiserver")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	key, err := sourceKey(module)
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(cache, key, binaryName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := build(ctx, module, path); err != nil {
			return "", err
		}
	}
	now := time.Now()
	if err := os.Chtimes(filepath.Dir(path), now, now); err != nil {
		return "", err
	}
	return path, prune(cache, now)
}

// sourceKey is a digest of what the binary is made from: the module's files,
// the other commands and the tests excepted, and the compiler.
func sourceKey(module string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	err := filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(module, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if filepath.Dir(rel) == "cmd" && rel != filepath.Clean(binaryPackage) {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(rel, "_test.go") || !isSource(rel) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n%s", rel, len(text), text)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("digest of the sources: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

func isSource(path string) bool {
	switch filepath.Ext(path) {
	case ".go", ".mod", ".sum":
		return true
	}
	return path == "ldflags.txt"
}

// lock waits for the other test processes that use the cache.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func build(ctx context.Context, module, path string) error {
	ldflags, err := os.ReadFile(filepath.Join(module, "ldflags.txt"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "building %s, once for these sources\n", binaryName)
	// Under another name first: if we die meanwhile, the cache holds no part of a binary.
	part := path + ".part"
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", strings.TrimSpace(string(ldflags)), "-o", part, binaryPackage)
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return os.Rename(part, path)
}

// prune removes the builds of other sources that nobody has used of late. A
// server that runs from one of them goes on.
func prune(cache string, now time.Time) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || now.Sub(info.ModTime()) < unusedFor {
			continue
		}
		if err := os.RemoveAll(filepath.Join(cache, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

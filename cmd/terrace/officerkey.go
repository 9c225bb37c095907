package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// maxKeyFile bounds the file of an officer's key.
const maxKeyFile = 16 << 10

// readOfficerKey reads an SM2 key (PKCS#8 PEM) from a file that its owner alone may read.
func readOfficerKey(path string) (*sm2.PrivateKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of the open file: the path may lead elsewhere by now
	if err != nil {
		return nil, err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode %#o lets others than its owner at the key: chmod 600, and think about who read it", path, perm)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	defer clear(b)
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s: is no PEM block PRIVATE KEY (PKCS#8, not encrypted); openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 makes one", path)
	}
	defer clear(block.Bytes)
	key, err := smx509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: is no PKCS#8 key that can be read", path)
	}
	signer, ok := key.(*sm2.PrivateKey)
	if !ok {
		return nil, errors.New(path + ": is not an SM2 key")
	}
	return signer, nil
}

package software

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs8"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

const (
	pemType    = "ENCRYPTED PRIVATE KEY" // RFC 7468 §11
	saltBytes  = 16
	iterations = 600_000 // PBKDF2 with SHA-256: about 0.2 s
)

// errPassword: the padding or structure after decryption is wrong, as it is
// with the wrong password (PBES2 with CBC has no other check).
var errPassword = errors.New("wrong password")

// encrypt returns the key as PEM of PKCS#8 (RFC 5958): PBES2 of PBKDF2 and
// SM4-CBC. The PRF is HMAC-SHA256 instead of HMAC-SM3, which OpenSSL 3.0 does
// not know, so that `openssl pkey` opens the file.
func encrypt(key *sm2.PrivateKey, password []byte) ([]byte, error) {
	encrypter := pkcs.NewPBESEncrypter(pkcs.SM4CBC, pkcs.NewPBKDF2Opts(pkcs.SHA256, saltBytes, iterations))
	der, err := pkcs8.MarshalPrivateKey(key, password, encrypter)
	if err != nil {
		return nil, fmt.Errorf("encrypt key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

func decrypt(data, password []byte) (*sm2.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("is no PEM block %q", pemType)
	}
	var outer struct { // EncryptedPrivateKeyInfo
		Algorithm     pkix.AlgorithmIdentifier
		EncryptedData []byte
	}
	if rest, err := asn1.Unmarshal(block.Bytes, &outer); err != nil || len(rest) > 0 {
		return nil, errors.New("is no encrypted PKCS#8 key")
	}
	var params pkcs.PBES2Params
	if !pkcs.IsPBES2(outer.Algorithm) {
		return nil, fmt.Errorf("encryption %v is not PBES2", outer.Algorithm.Algorithm)
	}
	if _, err := asn1.Unmarshal(outer.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, errors.New("PBES2 parameters are damaged")
	}
	plain, _, err := params.Decrypt(password, outer.EncryptedData)
	if errors.Is(err, pkcs.ErrPBEDecryption) {
		return nil, errPassword
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt key: %w", err)
	}
	defer clear(plain)
	parsed, err := smx509.ParsePKCS8PrivateKey(plain)
	if err != nil { // one wrong password in 256 yields good padding
		return nil, errPassword
	}
	key, ok := parsed.(*sm2.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("holds a %T, not an SM2 key", parsed)
	}
	return key, nil
}

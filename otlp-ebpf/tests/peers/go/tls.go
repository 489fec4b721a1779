// What both programs of this folder need for TLS: a certificate of their own making, and whoever trusts it.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"os"
	"time"
)

// words are the arguments without the last one, where that asks for TLS.
func words() ([]string, bool) {
	words := os.Args[1:]
	if last := len(words) - 1; last >= 0 && words[last] == "tls" {
		return words[:last], true
	}
	return words, false
}

func identity() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fail(err)
	about := x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(48 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &about, &about, &key.PublicKey, key)
	fail(err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
}

// trusting asks nobody who the server is.
func trusting() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

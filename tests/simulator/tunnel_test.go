package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strconv"
	"testing"
	"time"

	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
)

func TestLoginByCertificateThroughTheTunnel(t *testing.T) {
	b := launch(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b.ok(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "extension"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	b.ok(err)

	sc := b.soapClient()
	q := sc.URL().Query()
	q.Set("GOVMOMI_TUNNEL_PROXY_PORT", strconv.Itoa(b.a.Tunnel))
	u := sc.URL()
	u.RawQuery = q.Encode()
	t.Setenv("GOVMOMI_TUNNEL_PROXY_PORT", strconv.Itoa(b.a.Tunnel))
	sc.SetCertificate(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
	ctx := context.Background()
	c, err := vim25.NewClient(ctx, sc)
	b.ok(err)
	b.ok(session.NewManager(c).LoginExtensionByCertificate(ctx, "extension"))
	b.want("logins", b.stats().LoginsBy["LoginExtensionByCertificate"], int64(1))
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// identity is the server's certificate, which can be replaced while it runs.
//
// The default is an authority and a server certificate signed by it, because some TLS libraries refuse a certificate that is
// both an authority and a server. cert.pem holds what a client must trust.
type identity struct {
	dir    string
	config *tls.Config

	mu     sync.Mutex
	leaf   *tls.Certificate
	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
	serial int64
}

// certificateRequest is the body of POST /certificate/rotate.
type certificateRequest struct {
	Hosts      []string `json:"hosts"`       // default localhost, 127.0.0.1, ::1
	NewCA      bool     `json:"new_ca"`      // also replace the authority and cert.pem
	SelfSigned bool     `json:"self_signed"` // no authority: cert.pem is the server certificate
	Expired    bool     `json:"expired"`     // no longer valid
}

type thumbprints struct {
	SHA256 string `json:"thumbprint_sha256"`
	SHA1   string `json:"thumbprint_sha1"`
	CAFile string `json:"ca_file"`
}

func newIdentity(dir string, selfSigned bool, handshake func(tls.ConnectionState) error) (*identity, error) {
	id := &identity{dir: dir}
	id.config = &tls.Config{
		MinVersion:       tls.VersionTLS12,
		NextProtos:       []string{"http/1.1"},
		ClientAuth:       tls.RequestClientCert,
		VerifyConnection: handshake,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return id.current(), nil
		},
	}
	_, err := id.rotate(certificateRequest{SelfSigned: selfSigned})
	return id, err
}

func (id *identity) current() *tls.Certificate {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.leaf
}

// simulatorConfig is the view of the TLS set-up that the simulator's own
// services (trust, certificate authority) ask for.
func (id *identity) simulatorConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*id.current()}}
}

func (id *identity) rotate(req certificateRequest) (thumbprints, error) {
	id.mu.Lock()
	defer id.mu.Unlock()

	if len(req.Hosts) == 0 {
		req.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return thumbprints{}, err
	}
	template := id.template(req.Hosts[0])
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range req.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if req.Expired {
		template.NotBefore = time.Now().Add(-48 * time.Hour)
		template.NotAfter = time.Now().Add(-24 * time.Hour)
	}

	parent, parentKey := template, key
	if !req.SelfSigned {
		if id.ca == nil || req.NewCA {
			if err := id.newAuthority(); err != nil {
				return thumbprints{}, err
			}
		}
		parent, parentKey = id.ca, id.caKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return thumbprints{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return thumbprints{}, err
	}
	id.leaf = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	trust := leaf
	if !req.SelfSigned {
		trust = id.ca
		id.leaf.Certificate = append(id.leaf.Certificate, id.ca.Raw)
	}
	if err := writePEM(id.caFile(), trust); err != nil {
		return thumbprints{}, err
	}
	if err := writePEM(filepath.Join(id.dir, "server.pem"), leaf); err != nil {
		return thumbprints{}, err
	}

	// A resumed connection shows no certificate. Old tickets must not let a client miss the new one.
	var ticketKey [32]byte
	if _, err := rand.Read(ticketKey[:]); err != nil {
		return thumbprints{}, err
	}
	id.config.SetSessionTicketKeys([][32]byte{ticketKey})
	return id.prints(), nil
}

func (id *identity) newAuthority() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := id.template(fmt.Sprintf("simulator authority %d", id.serial+1))
	template.IsCA = true
	template.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	id.ca, err = x509.ParseCertificate(der)
	id.caKey = key
	return err
}

func (id *identity) template(name string) *x509.Certificate {
	id.serial++
	return &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano() + id.serial),
		Subject:               pkix.Name{Organization: []string{"vsession test"}, CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(365 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
}

func (id *identity) caFile() string { return filepath.Join(id.dir, "cert.pem") }

func (id *identity) thumbprints() thumbprints {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.prints()
}

func (id *identity) prints() thumbprints {
	raw := id.leaf.Certificate[0]
	long, short := sha256.Sum256(raw), sha1.Sum(raw)
	return thumbprints{SHA256: colonHex(long[:]), SHA1: colonHex(short[:]), CAFile: id.caFile()}
}

func colonHex(sum []byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// writePEM replaces the file in one step, so that a reader never sees a part of it.
func writePEM(name string, cert *x509.Certificate) error {
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := os.WriteFile(name+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// trustClients sets the authorities for client certificates. Without any, a
// client may show any certificate, which is what the simulator itself does.
func (id *identity) trustClients(file string, required bool) error {
	if file == "" {
		if required {
			id.config.ClientAuth = tls.RequireAnyClientCert
		}
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return fmt.Errorf("%s holds no certificate", file)
	}
	id.config.ClientCAs = pool
	id.config.ClientAuth = tls.VerifyClientCertIfGiven
	if required {
		id.config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return nil
}

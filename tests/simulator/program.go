package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
)

// program is the running whole.
type program struct {
	options  *options
	model    *simulator.Model
	account  *account
	rules    *ruleSet
	stats    *stats
	journal  *journal
	identity *identity
	server   *server
	front    *front
	control  *http.Server
	tunnel   int

	controlAddress string
	stopping       chan struct{}
	stopOnce       sync.Once
}

// announcement is the line of JSON that the program prints at its start.
type announcement struct {
	URL      string   `json:"url"`
	Host     string   `json:"host"`
	Others   []string `json:"others,omitempty"`
	Control  string   `json:"control"`
	CAFile   string   `json:"ca_file"`
	SHA256   string   `json:"thumbprint_sha256"`
	SHA1     string   `json:"thumbprint_sha1"`
	User     string   `json:"user"`
	Password string   `json:"password"`
	Tunnel   int      `json:"tunnel"`
	Mode     string   `json:"mode"`
	PID      int      `json:"pid"`
	Version  string   `json:"version"`
	Like     string   `json:"like"`
}

func start(o *options) (*program, error) {
	p := &program{
		options: o, rules: new(ruleSet), stats: newStats(),
		journal: &journal{max: o.logSize}, stopping: make(chan struct{}),
	}
	address, err := holdPort(o.listen)
	if err != nil {
		return nil, err
	}
	if p.model, err = newService(o, address); err != nil {
		return nil, err
	}
	reg := p.model.Map()
	p.account = newAccount(reg, p.stats, o.user, o.password)
	p.account.mux = p.model.Service.ServeMux

	handshake := func(s tls.ConnectionState) error {
		p.stats.handshakes.Add(1)
		if s.DidResume {
			p.stats.resumed.Add(1)
		}
		return nil
	}
	if p.identity, err = newIdentity(o.dir, o.selfSigned, handshake); err != nil {
		return nil, err
	}
	if err := p.identity.trustClients(o.clientCA, o.requireClientCert); err != nil {
		return nil, err
	}
	var config *tls.Config
	if o.tls {
		config = p.identity.config
		config.MaxVersion = o.tlsMax
		reg.SessionManager().TLS = p.identity.simulatorConfig
	}
	p.front = &front{
		inner: p.model.Service.ServeMux, account: p.account, rules: p.rules,
		stats: p.stats, journal: p.journal, stop: p.stopping, isVCenter: o.mode == "vpx",
	}
	p.front.settings.Store(&o.settings)
	p.server = newServer(address, config, p.front, p.stats, o.verbose)
	host, _, _ := net.SplitHostPort(address)
	for range o.addresses - 1 {
		other, err := holdPort(net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		p.server.others = append(p.server.others, other)
	}
	if err := p.server.start(); err != nil {
		return nil, err
	}
	if p.tunnel, err = startTunnel(host, address); err != nil {
		return nil, err
	}
	p.account.setTimeout(o.sessionTimeout)
	p.account.setLife(o.sessionLife)
	p.account.unified = func() bool { return p.front.settings.Load().restMode() == restUnified }
	go p.account.expire(p.stopping)

	l, err := net.Listen("tcp", o.control)
	if err != nil {
		return nil, err
	}
	p.controlAddress = l.Addr().String()
	p.control = &http.Server{Handler: newControl(p)}
	go func() { _ = p.control.Serve(l) }()
	return p, nil
}

func (p *program) announcement() announcement {
	scheme := "http"
	a := announcement{
		Host: p.server.address, Others: p.server.others, Control: "http://" + p.controlAddress,
		Tunnel: p.tunnel, Mode: p.options.mode, PID: os.Getpid(),
		Version: p.model.ServiceContent.About.ApiVersion,
		Like:    p.front.settings.Load().Like,
	}
	if p.options.tls {
		scheme = "https"
		prints := p.identity.thumbprints()
		a.CAFile, a.SHA256, a.SHA1 = prints.CAFile, prints.SHA256, prints.SHA1
	}
	a.URL = scheme + "://" + p.server.address + "/sdk"
	a.User, a.Password = p.account.credentials()
	return a
}

func (p *program) report() report {
	r := p.stats.report()
	for _, s := range p.account.sessions() {
		r.Sessions++
		if s.Kind == "rest" {
			r.RestSessions++
		} else {
			r.SoapSessions++
		}
	}
	r.CloneTickets = p.account.ticketCount()
	r.Open = p.server.openCount()
	return r
}

// shutdown makes wait return. It may be called more than once.
func (p *program) shutdown() {
	p.stopOnce.Do(func() { close(p.stopping) })
}

// wait runs until shutdown and then cleans up.
func (p *program) wait() {
	<-p.stopping
	p.server.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.control.Shutdown(ctx) // lets the answer to POST /shutdown out
	_ = p.server.http.Close()
	p.server.closeAll(false, false) // also those taken over from net/http
	p.model.Remove()
}

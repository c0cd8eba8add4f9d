package main

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/soap"
	"vsession.dev/bench/measure"
)

func urlOf(path string) *url.URL {
	asked, err := url.Parse(path)
	measure.Check(err)
	return client.URL().ResolveReference(asked)
}

// newRest makes a client for REST with the pool of connections of newClient.
func newRest() *rest.Client {
	made := rest.NewClient(client)
	made.DefaultTransport().MaxIdleConnsPerHost = 100
	return made
}

func getWith(asker *rest.Client) func() {
	address := urlOf(measure.Text("path")).String()
	return func() {
		request, err := http.NewRequest(http.MethodGet, address, nil)
		measure.Check(err)
		var body bytes.Buffer
		measure.Check(asker.Do(ctx, request, &body))
	}
}

// get makes a small GET with vapi/rest: with its own session, with the vim25 session in the header of VI JSON, or without one.
func get() {
	connect()
	asker := newRest()
	switch measure.Text("through") {
	case "rest":
		measure.Check(asker.Login(ctx, user))
		defer func() { measure.Check(asker.Logout(ctx)) }()
	case "vim":
		logIn()
		defer logOut()
		for _, cookie := range client.Jar.Cookies(client.URL()) {
			if cookie.Name == soap.SessionCookieName {
				asker.SessionID(cookie.Value)
			}
		}
	}
	measure.Crew(getWith(asker))
}

// getLogin has a client of its own come and go.
func getLogin() {
	measure.Crew(func() {
		connect()
		asker := newRest()
		measure.Check(asker.Login(ctx, user))
		getWith(asker)()
		measure.Check(asker.Logout(ctx))
		asker.DefaultTransport().CloseIdleConnections()
		client.DefaultTransport().CloseIdleConnections()
	})
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(to []byte) (int, error) {
	clear(to)
	return len(to), nil
}

func upload() {
	connect()
	logIn()
	size := int64(measure.Number("megabytes", 1)) << 20
	currentTime()
	resident := measure.MemoryKiB("VmRSS:")
	cpu, wall := measure.CPU(), time.Now()
	param := soap.DefaultUpload
	param.ContentLength = size
	measure.Check(client.Upload(ctx, io.LimitReader(zeros{}, size), urlOf(measure.Text("path")), &param))
	took := time.Since(wall)
	measure.Figures{
		"count": 1, "bytes": size, "wall_ns": took.Nanoseconds(), "cpu_ns": measure.CPU() - cpu,
		"peak_kib": measure.MemoryKiB("VmHWM:") - resident,
	}.Print()
	logOut()
}

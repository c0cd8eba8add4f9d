package main

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi"
)

// Every address has the same server behind it, and all stop and start together.
func TestFurtherAddresses(t *testing.T) {
	b := launch(t, "-addresses", "3", "-endpoints", "vim")
	all := append([]string{b.a.Host}, b.a.Others...)
	if len(all) != 3 || len(slices.Compact(slices.Sorted(slices.Values(all)))) != 3 {
		t.Fatal(all)
	}
	login := func(address string) error {
		u, _ := url.Parse(strings.Replace(b.a.URL, b.a.Host, address, 1))
		u.User = url.UserPassword(b.a.User, b.a.Password)
		_, err := govmomi.NewClient(context.Background(), u, true)
		return err
	}
	for _, address := range all {
		if err := login(address); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.p.report().SoapSessions; n != 3 {
		t.Errorf("%d sessions", n)
	}
	b.control("POST", "/listener/stop", "", nil)
	for _, address := range all {
		if login(address) == nil {
			t.Error(address, "still listens")
		}
	}
	b.control("POST", "/listener/start", "", nil)
	for _, address := range all {
		if err := login(address); err != nil {
			t.Error(err)
		}
	}
}

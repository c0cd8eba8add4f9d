package main

import (
	"crypto/tls"
	"fmt"
	"net/url"

	"github.com/vmware/govmomi/simulator"

	// The services other than vim25. Each adds itself when it is imported and is
	// set up only with -endpoints all.
	_ "github.com/vmware/govmomi/eam/simulator"
	_ "github.com/vmware/govmomi/lookup/simulator"
	_ "github.com/vmware/govmomi/pbm/simulator"
	_ "github.com/vmware/govmomi/ssoadmin/simulator"
	_ "github.com/vmware/govmomi/sts/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator"
	_ "github.com/vmware/govmomi/vslm/simulator"
)

// newService makes the simulated server for the given address without serving there.
func newService(o *options, address string) (model *simulator.Model, err error) {
	switch o.mode {
	case "vpx":
		model = simulator.VPX()
		model.Host = 0 // one cluster only, so that -vms is the exact number
	case "esx":
		model = simulator.ESX()
	default:
		return nil, fmt.Errorf("unknown mode %q: vpx or esx", o.mode)
	}
	if m := profiles[o.settings.Like]; m != nil {
		model.ServiceContent.About.ApiVersion, model.ServiceContent.About.Version = m.apiVersion(), m.version
	}
	model.Machine = min(o.vms, fewMachines)
	if err := model.Create(); err != nil {
		return nil, err
	}
	if o.vms > fewMachines {
		if err := addMachines(model, fewMachines, o.vms); err != nil {
			return nil, err
		}
	}
	defer func() { // NewServer panics if it cannot listen
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	s := model.Service
	// Any user here but DefaultLogin makes the simulator check the credentials.
	s.Listen = &url.URL{Host: address, User: url.UserPassword(o.user, o.password)}
	s.RegisterEndpoints = o.endpoints == "all"
	if o.tls {
		s.TLS = new(tls.Config)
	}
	// NewServer registers the services for the address and serves them. Only the registration is wanted: the front serves,
	// through s.ServeMux.
	s.NewServer().Close()
	return model, nil
}

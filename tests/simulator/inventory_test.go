package main

import (
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

func TestNumberOfMachines(t *testing.T) {
	for _, mode := range []string{"vpx", "esx"} {
		for _, n := range []int{0, 1, 20} {
			b := launch(t, "-mode", mode, "-vms", itoa(n))
			names := make(map[string]bool)
			for _, e := range b.p.model.Map().All("VirtualMachine") {
				vm := e.(*simulator.VirtualMachine)
				names[vm.Name] = true
				b.want("power state", vm.Runtime.PowerState, types.VirtualMachinePowerStatePoweredOn)
			}
			b.want(mode+" machines", len(names), n)
		}
	}
}

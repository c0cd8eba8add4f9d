package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// Up to this number the simulator makes the machines itself.
const fewMachines = 4

// addMachines makes machines like the simulator's own, numbered from first to last-1. The simulator waits for each machine
// with a property collector that polls every 20 ms, twice for each machine, one machine after another. That takes several
// minutes for the thousands of machines that the benchmarks read.
func addMachines(model *simulator.Model, first, last int) error {
	ctx := context.Background()
	reg := model.Map()
	client, err := vim25.NewClient(ctx, model.Service)
	if err != nil {
		return err
	}
	pattern, ok := reg.Any("VirtualMachine").(*simulator.VirtualMachine)
	if !ok {
		return errors.New("no machine to take as a pattern")
	}
	folder := object.NewFolder(client, *pattern.Parent)
	pool := object.NewResourcePool(client, *pattern.ResourcePool)
	host := object.NewHostSystem(client, *pattern.Runtime.Host)
	prefix := pattern.Name[:len(pattern.Name)-1] // without the number 0

	numbers := make(chan int)
	failed := make(chan error, 1)
	var workers sync.WaitGroup
	for range 8 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for n := range numbers {
				if err := addMachine(ctx, reg, client, folder, pool, host, fmt.Sprint(prefix, n)); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		}()
	}
	for n := first; n < last; n++ {
		numbers <- n
	}
	close(numbers)
	workers.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func addMachine(ctx context.Context, reg *simulator.Registry, client *vim25.Client,
	folder *object.Folder, pool *object.ResourcePool, host *object.HostSystem, name string,
) error {
	spec := types.VirtualMachineConfigSpec{
		Name:    name,
		GuestId: string(types.VirtualMachineGuestOsIdentifierOtherGuest),
		Files:   &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
	}
	var devices object.VirtualDeviceList
	scsi, _ := devices.CreateSCSIController("pvscsi")
	ide, _ := devices.CreateIDEController()
	cdrom, _ := devices.CreateCdrom(ide.(*types.VirtualIDEController))
	disk := devices.CreateDisk(scsi.(types.BaseVirtualController), types.ManagedObjectReference{},
		spec.Files.VmPathName+" "+path.Join(name, "disk1.vmdk"))
	disk.CapacityInKB = 10 << 20
	nic := esx.EthernetCard
	spec.DeviceChange, _ = append(devices, scsi, cdrom, disk, &nic).
		ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)

	task, err := folder.CreateVM(ctx, spec, pool, host)
	if err != nil {
		return err
	}
	result, err := outcome(ctx, reg, task)
	if err != nil {
		return err
	}
	task, err = object.NewVirtualMachine(client, result.(types.ManagedObjectReference)).PowerOn(ctx)
	if err != nil {
		return err
	}
	_, err = outcome(ctx, reg, task)
	return err
}

// outcome waits for a task by polling it in process.
func outcome(ctx context.Context, reg *simulator.Registry, task *object.Task) (result any, err error) {
	looker := &simulator.Context{Context: ctx, Map: reg}
	for {
		t, ok := reg.Get(task.Reference()).(*simulator.Task)
		if !ok {
			return nil, fmt.Errorf("%s is gone", task.Reference())
		}
		var state types.TaskInfoState
		reg.WithLock(looker, t, func() {
			state, result = t.Info.State, t.Info.Result
			if t.Info.Error != nil {
				err = errors.New(t.Info.Error.LocalizedMessage)
			}
		})
		switch state {
		case types.TaskInfoStateSuccess, types.TaskInfoStateError:
			return result, err
		}
		time.Sleep(100 * time.Microsecond)
	}
}

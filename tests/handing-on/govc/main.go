// Command govc is govc with a few of its commands, from the packages of govmomi, unchanged.
package main

import (
	"os"

	"github.com/vmware/govmomi/cli"
	_ "github.com/vmware/govmomi/cli/about"
	_ "github.com/vmware/govmomi/cli/object"
	_ "github.com/vmware/govmomi/cli/session"
)

func main() { os.Exit(cli.Run(os.Args[1:])) }

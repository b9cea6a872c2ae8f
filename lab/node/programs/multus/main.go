package main

import (
	"flag"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"
	"gopkg.in/k8snetworkplumbingwg/multus-cni.v4/pkg/multus"
)

// Multus as a CNI plugin without a daemon: what its own cmd/multus does.
func main() {
	flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	skel.PluginMainFuncs(
		skel.CNIFuncs{
			Add: func(args *skel.CmdArgs) error {
				result, err := multus.CmdAdd(args, nil, nil)
				if err != nil {
					return err
				}
				return result.Print()
			},
			Del:    func(args *skel.CmdArgs) error { return multus.CmdDel(args, nil, nil) },
			Check:  func(args *skel.CmdArgs) error { return multus.CmdCheck(args, nil, nil) },
			GC:     func(args *skel.CmdArgs) error { return multus.CmdGC(args, nil, nil) },
			Status: func(args *skel.CmdArgs) error { return multus.CmdStatus(args, nil, nil) },
		},
		version.All, "delegates to other CNI plugins")
}

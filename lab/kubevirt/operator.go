package main

import (
	"os"

	v1 "k8s.io/api/core/v1"

	"kubevirt.io/kubevirt/pkg/virt-operator/resource/generate/components"
	"kubevirt.io/kubevirt/tools/util"
)

// Prints the Deployment of virt-operator: operator NAMESPACE REGISTRY TAG VERBOSITY
func main() {
	a := os.Args
	none := ""
	d := components.NewOperatorDeployment(a[1], a[2], none, a[3], a[4], a[3], none, none, none, none, none, none, none,
		none, none, none, none, none, v1.PullIfNotPresent)
	if err := util.MarshallObject(d, os.Stdout); err != nil {
		panic(err)
	}
}

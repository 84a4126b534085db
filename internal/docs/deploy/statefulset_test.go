package deploy

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// TestStatefulSet: Kubernetes has each field of the manifest, and those that belong
// together agree.
func TestStatefulSet(t *testing.T) {
	text, err := os.ReadFile("testdata/statefulset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var set appsv1.StatefulSet
	if err := yaml.UnmarshalStrict(text, &set); err != nil {
		t.Fatal(err)
	}
	if set.APIVersion != "apps/v1" || set.Kind != "StatefulSet" {
		t.Errorf("%s %s", set.APIVersion, set.Kind)
	}
	pod := set.Spec.Template
	for key, value := range set.Spec.Selector.MatchLabels {
		if pod.Labels[key] != value {
			t.Errorf("it selects %s=%s, and a pod has %v", key, value, pod.Labels)
		}
	}
	c := pod.Spec.Containers[0]
	mount := c.VolumeMounts[0]
	if len(set.Spec.VolumeClaimTemplates) != 1 || set.Spec.VolumeClaimTemplates[0].Name != mount.Name {
		t.Errorf("nothing claims the volume %s", mount.Name)
	}
	i := slices.Index(c.Args, "-data")
	if i < 0 || !strings.HasPrefix(c.Args[i+1], mount.MountPath+"/") {
		t.Errorf("%q: not in the volume, at %s", c.Args, mount.MountPath)
	}
	if *c.SecurityContext.ReadOnlyRootFilesystem != true || *pod.Spec.SecurityContext.RunAsNonRoot != true {
		t.Error("the page says that the program is nobody's root")
	}
	if probe := c.ReadinessProbe.HTTPGet; probe.Path != "/ready" || probe.Port.IntVal != c.Ports[0].ContainerPort {
		t.Errorf("asks %v, and the program is at %v", probe, c.Ports)
	}
	// The pod has its time for preStop, and then as long as the service has.
	stop, err := strconv.Atoi(c.Lifecycle.PreStop.Exec.Command[1])
	if grace := *pod.Spec.TerminationGracePeriodSeconds; err != nil || grace < int64(stop)+30 {
		t.Errorf("%d s of grace, %d of which are preStop's: %v", grace, stop, err)
	}
}

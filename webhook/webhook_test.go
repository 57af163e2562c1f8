package webhook

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"slotwise.dev/slotwise/allocator/vpc"
)

func TestDefault(t *testing.T) {
	on := func(context.Context) (bool, error) { return true, nil }
	off := func(context.Context) (bool, error) { return false, nil }
	windows := corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}, Containers: []corev1.Container{{}}}
	linux := corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Linux}, Containers: []corev1.Container{{}}}
	by := func(scheduler string, spec corev1.PodSpec) corev1.PodSpec {
		spec.SchedulerName = scheduler
		return spec
	}
	withAddress := *windows.DeepCopy()
	withAddress.Containers[0].Resources = asking(addresses(1), addresses(1))
	withBoth := *withAddress.DeepCopy()
	withBoth.Containers[0].Resources.Limits[vpc.TrueResource] = withAddress.Containers[0].Resources.Limits[vpc.Resource]
	withBoth.Containers[0].Resources.Requests[vpc.TrueResource] = withAddress.Containers[0].Resources.Requests[vpc.Resource]

	for name, tc := range map[string]struct {
		options  Options
		in, want corev1.PodSpec
	}{
		"on":                           {options: Options{Enabled: on}, in: windows, want: withAddress},
		"off":                          {options: Options{Enabled: off, SchedulerName: "slotwise"}, in: windows, want: windows},
		"a Linux pod":                  {options: Options{Enabled: on, SchedulerName: "slotwise"}, in: linux, want: linux},
		"no scheduler asked for":       {options: Options{Enabled: on, SchedulerName: "slotwise"}, in: windows, want: by("slotwise", withAddress)},
		"default scheduler":            {options: Options{Enabled: on, SchedulerName: "slotwise"}, in: by("default-scheduler", windows), want: by("slotwise", withAddress)},
		"another scheduler asked for":  {options: Options{Enabled: on, SchedulerName: "slotwise"}, in: by("batch", windows), want: by("batch", withAddress)},
		"another resource besides":     {options: Options{Enabled: on, SchedulerName: "slotwise", Besides: vpc.TrueResource}, in: windows, want: by("slotwise", withBoth)},
		"not for another scheduler":    {options: Options{Enabled: on, SchedulerName: "slotwise", Besides: vpc.TrueResource}, in: by("batch", windows), want: by("batch", withAddress)},
		"no scheduler name configured": {options: Options{Enabled: on}, in: by("default-scheduler", windows), want: by("default-scheduler", withAddress)},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: *tc.in.DeepCopy()}
			if err := (defaulter{tc.options}).Default(t.Context(), pod); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, pod.Spec); diff != "" {
				t.Errorf("Default (-want +got):\n%s", diff)
			}
		})
	}
}

// A pod that went by unseen could be bound where there is no address for it.
func TestDefaultRefusesWhileItCannotTell(t *testing.T) {
	unknown := errors.New("the ConfigMap cannot be read")
	d := defaulter{Options{Enabled: func(context.Context) (bool, error) { return false, unknown }}}
	windows := &corev1.Pod{Spec: corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}}}
	if err := d.Default(t.Context(), windows); !errors.Is(err, unknown) {
		t.Errorf("a Windows pod: %v, want %v", err, unknown)
	}
	if err := d.Default(t.Context(), &corev1.Pod{}); err != nil {
		t.Errorf("a Linux pod: %v, want none", err)
	}
}

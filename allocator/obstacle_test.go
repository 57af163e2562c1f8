package allocator

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"slotwise.dev/slotwise/allocator/settings"
)

// TestReadState: Slotwise is on where its own ConfigMap says so and no other
// allocator is at work.
func TestReadState(t *testing.T) {
	own := types.NamespacedName{Namespace: "slotwise-system", Name: "slotwise"}
	configMap := func(n types.NamespacedName, enabled string) client.Object {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name},
			Data:       map[string]string{settings.KeyEnabled: enabled},
		}
	}
	old := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: OldController.Namespace, Name: OldController.Name}}

	for name, tc := range map[string]struct {
		configMap types.NamespacedName
		objects   []client.Object
		want      bool
		obstacle  string // kind of the object that shows it
	}{
		"nothing there":              {configMap: ManagedConfigMap},
		"on":                         {configMap: ManagedConfigMap, objects: []client.Object{configMap(ManagedConfigMap, "true")}, want: true},
		"off":                        {configMap: ManagedConfigMap, objects: []client.Object{configMap(ManagedConfigMap, "false")}},
		"on, beside the old one":     {configMap: ManagedConfigMap, objects: []client.Object{configMap(ManagedConfigMap, "true"), old}, obstacle: "Deployment"},
		"own, on":                    {configMap: own, objects: []client.Object{configMap(own, "true")}, want: true},
		"own, AWS's off":             {configMap: own, objects: []client.Object{configMap(own, "true"), configMap(ManagedConfigMap, "false")}, want: true},
		"own, AWS's on":              {configMap: own, objects: []client.Object{configMap(own, "true"), configMap(ManagedConfigMap, "true ")}, obstacle: "ConfigMap"},
		"own, AWS's on, old one too": {configMap: own, objects: []client.Object{configMap(own, "true"), configMap(ManagedConfigMap, "true"), old}, obstacle: "Deployment"},
	} {
		t.Run(name, func(t *testing.T) {
			kube := fake.NewClientBuilder().WithObjects(tc.objects...).Build()
			s, err := ReadState(t.Context(), kube, tc.configMap, settings.Settings{}, func(*corev1.ConfigMap, settings.Problem) {})
			if err != nil {
				t.Fatal(err)
			}
			if s.On() != tc.want {
				t.Errorf("on: %t, want %t", s.On(), tc.want)
			}
			switch {
			case (s.Obstacle != nil) != (tc.obstacle != ""):
				t.Errorf("obstacle: %q, want a %s", s.Obstacle, tc.obstacle)
			case s.Obstacle != nil && (s.Obstacle.Object.Kind != tc.obstacle || !strings.Contains(s.Obstacle.Why, tc.obstacle)):
				t.Errorf("obstacle %s %q, want a %s", s.Obstacle.Object.Kind, s.Obstacle, tc.obstacle)
			}
		})
	}
}

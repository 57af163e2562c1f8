package manifests

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"slotwise.dev/slotwise/allocator/settings"
)

// Where settings are.
var (
	awsSettings = types.NamespacedName{Namespace: "kube-system", Name: "amazon-vpc-cni"}
	ownSettings = types.NamespacedName{Namespace: "slotwise-system", Name: "slotwise"}
)

// fromBefore is in amazon-vpc-cni since before Slotwise was installed.
var fromBefore = map[string]string{settings.KeyEnabled: "true", settings.KeyWarmIPTarget: "many", "enable-network-policy-controller": "false"}

func createSettings(ctx context.Context) error {
	_, err := cluster.Client.CoreV1().ConfigMaps(awsSettings.Namespace).Create(ctx, configMap(awsSettings.Name, fromBefore), metav1.CreateOptions{})
	return err
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

var dryRun = []string{metav1.DryRunAll}

// writeSettings has amazon-vpc-cni updated to what it was before with some changes,
// all but the last step.
func writeSettings(ctx context.Context, changes map[string]string) error {
	data := maps.Clone(fromBefore)
	maps.Copy(data, changes)
	_, err := cluster.Client.CoreV1().ConfigMaps(awsSettings.Namespace).Update(ctx, configMap(awsSettings.Name, data), metav1.UpdateOptions{DryRun: dryRun})
	return err
}

// TestSettingsGuard: of what is written, the values of Slotwise's keys have to be
// readable; all else passes, and so does what stood there before.
func TestSettingsGuard(t *testing.T) {
	const number, truth = `want a whole number, such as "3"`, `want "true" or "false"`
	for name, tc := range map[string]struct {
		changes map[string]string
		want    []string // parts of the refusal; none: it passes
	}{
		"nothing":                    {},
		"another key":                {changes: map[string]string{"branch-eni-cooldown": "a while"}},
		"another key that is alike":  {changes: map[string]string{"my-warm-ip-target": "many", "enable-windows": "perhaps"}},
		"what cannot be read, again": {changes: map[string]string{settings.KeyWarmIPTarget: "many", settings.KeyMinimumIPTarget: "4"}},
		"mended":                     {changes: map[string]string{settings.KeyWarmIPTarget: "2"}},
		"white space":                {changes: map[string]string{settings.KeyEnabled: "true ", settings.KeyMinimumIPTarget: " 3\n"}},
		"as Go writes truth":         {changes: map[string]string{settings.KeyEnabled: "T", settings.KeyPrefixDelegation: "0"}},
		"a negative number":          {changes: map[string]string{settings.KeyMinimumIPTarget: "-1"}},

		"yes please":              {changes: map[string]string{settings.KeyPrefixDelegation: "yes please"}, want: []string{`enable-windows-prefix-delegation: "yes please"`, truth}},
		"an empty value":          {changes: map[string]string{settings.KeyEnabled: ""}, want: []string{`enable-windows-ipam: ""`, truth}},
		"misread otherwise":       {changes: map[string]string{settings.KeyWarmIPTarget: "a few"}, want: []string{`warm-ip-target: "a few"`, number}},
		"with windows-":           {changes: map[string]string{"windows-warm-prefix-target": "1.5"}, want: []string{`windows-warm-prefix-target: "1.5"`, number}},
		"a number that is no int": {changes: map[string]string{settings.KeyMinimumIPTarget: "99999999999999999999"}, want: []string{"minimum-ip-target", number}},
		"beyond 32 bits":          {changes: map[string]string{settings.KeyMinimumIPTarget: "2147483648"}, want: []string{"minimum-ip-target", number}},
		"two at once": {
			changes: map[string]string{settings.KeyMinimumIPTarget: "x", "windows-" + settings.KeyWarmIPTarget: "y"},
			want:    []string{`minimum-ip-target: "x"`, `windows-warm-ip-target: "y"`},
		},
		"a line of its own": {changes: map[string]string{settings.KeyEnabled: "tr\nue"}, want: []string{`enable-windows-ipam: "tr\nue"`, truth}},
	} {
		t.Run(name, func(t *testing.T) {
			err := writeSettings(t.Context(), tc.changes)
			if len(tc.want) == 0 && err != nil {
				t.Errorf("refused: %v", err)
			}
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("not refused with %s: %v", want, err)
				}
			}
		})
	}
}

// TestSettingsGuardIsParse: the guard refuses a value exactly where package settings
// could not read it.
func TestSettingsGuardIsParse(t *testing.T) {
	text := rapid.OneOf(
		rapid.StringMatching(`[ \t\n]?[+-]?0{0,12}[0-9]{0,12}[ \n]?`),
		rapid.StringMatching(`[ \t]?([tT]|[tT][rR][uU][eE]|[fF]|[fF][aA][lL][sS][eE]|0|1|yes|on)\n?`),
		rapid.String(),
	)
	key := rapid.SampledFrom([]string{settings.KeyEnabled, settings.KeyPrefixDelegation, settings.KeyWarmPrefixTarget, settings.KeyMinimumIPTarget})
	rapid.Check(t, func(rt *rapid.T) {
		written := map[string]string{key.Draw(rt, "key"): text.Draw(rt, "text")}
		_, problems := settings.Parse(written, settings.Settings{})
		err := writeSettings(t.Context(), written)
		if refused := apierrors.IsInvalid(err); refused != (len(problems) > 0) || err != nil && !refused {
			rt.Errorf("%q: %v; problems %v", written, err, problems)
		}
	})
}

// TestSettingsGuardIsOnTwoConfigMaps: any other, of whatever name and namespace, is
// nothing to it. Slotwise's own has it in the overlay eks.
func TestSettingsGuardIsOnTwoConfigMaps(t *testing.T) {
	installOwnSettingsGuard(t)
	for name, tc := range map[string]struct {
		at   types.NamespacedName
		want bool // refused
	}{
		"amazon-vpc-cni":                    {at: awsSettings, want: true},
		"Slotwise's own":                    {at: ownSettings, want: true},
		"of that name elsewhere":            {at: types.NamespacedName{Namespace: "default", Name: awsSettings.Name}},
		"another one beside amazon-vpc-cni": {at: types.NamespacedName{Namespace: awsSettings.Namespace, Name: ownSettings.Name}},
		"another one beside Slotwise's own": {at: types.NamespacedName{Namespace: ownSettings.Namespace, Name: awsSettings.Name}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := createMisread(t.Context(), tc.at); apierrors.IsInvalid(err) != tc.want || err != nil && !tc.want {
				t.Errorf("created: %v, want a refusal: %t", err, tc.want)
			}
		})
	}
}

// createMisread has a ConfigMap created that cannot be read, all but the last step.
func createMisread(ctx context.Context, at types.NamespacedName) error {
	o := configMap(at.Name, map[string]string{settings.KeyEnabled: "perhaps"})
	_, err := cluster.Client.CoreV1().ConfigMaps(at.Namespace).Create(ctx, o, metav1.CreateOptions{DryRun: dryRun})
	return err
}

// installOwnSettingsGuard applies what the overlay eks has beside the base, and
// returns once the API server obeys it.
func installOwnSettingsGuard(t *testing.T) {
	t.Helper()
	c, err := client.New(cluster.Admin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Build("overlays/eks")
	if err != nil {
		t.Fatal(err)
	}
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetName() != "slotwise-own-settings-guard" })
	if err := Apply(t.Context(), c, objects); err != nil {
		t.Fatal(err)
	}
	err = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsInvalid(createMisread(ctx, ownSettings)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

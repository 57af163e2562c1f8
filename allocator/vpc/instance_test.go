package vpc

import "testing"

func TestInstanceID(t *testing.T) {
	for name, c := range map[string]struct {
		providerID string
		want       string // empty: refused
	}{
		"as the AWS cloud provider writes it": {"aws:///us-west-2a/i-0123456789abcdef0", "i-0123456789abcdef0"},
		"without a zone":                      {"aws:///i-0123456789abcdef0", "i-0123456789abcdef0"},
		"none yet":                            {"", ""},
		"the instance alone":                  {"i-0123456789abcdef0", ""},
		"of another cloud":                    {"gce:///zone/i-0123456789abcdef0", ""},
		"a machine outside of AWS":            {"eks-hybrid:///us-west-2/cluster/mi-0123456789abcdef0", ""},
		"a Fargate pod":                       {"aws:///us-west-2a/1234/fargate-ip-10-0-0-1", ""},
		"cut off":                             {"aws:///us-west-2a/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := InstanceID(c.providerID)
			if got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("InstanceID(%q) = %q, %v; want %q", c.providerID, got, err, c.want)
			}
		})
	}
}

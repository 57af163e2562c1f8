package vpc

import (
	"fmt"
	"strings"
)

// InstanceID reads the EC2 instance from a Node's provider id, which AWS's cloud provider
// writes as aws:///us-west-2a/i-0123456789abcdef0.
func InstanceID(providerID string) (string, error) {
	rest, aws := strings.CutPrefix(providerID, "aws://")
	id := rest[strings.LastIndex(rest, "/")+1:]
	if !aws || !strings.HasPrefix(id, "i-") {
		return "", fmt.Errorf("spec.providerID %q names no EC2 instance: want aws:///ZONE/INSTANCE-ID, as the AWS cloud provider sets it", providerID)
	}
	return id, nil
}

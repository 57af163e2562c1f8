package manifests

import (
	"encoding/json"
	"fmt"
	"slices"
)

// AllowedActions returns the actions, such as ec2:DescribeSubnets, that an IAM
// policy of this folder allows, sorted. A statement that does not allow is an error.
func AllowedActions(file string) (actions []string, err error) {
	text, err := File(file)
	if err != nil {
		return nil, err
	}
	var policy struct {
		Statement []struct {
			Sid, Effect string
			Action      []string
		}
	}
	if err := json.Unmarshal(text, &policy); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, s := range policy.Statement {
		if s.Effect != "Allow" {
			return nil, fmt.Errorf("%s: the effect of %s is %s, want Allow", file, s.Sid, s.Effect)
		}
		actions = append(actions, s.Action...)
	}
	slices.Sort(actions)
	return actions, nil
}

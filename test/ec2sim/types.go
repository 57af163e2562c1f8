package ec2sim

// Hypervisor is the virtualisation that an instance type runs on.
type Hypervisor string

// Only Nitro instances take prefixes.
const (
	Nitro Hypervisor = "nitro"
	Xen   Hypervisor = "xen"
)

// Type is an instance type, with what matters to addresses.
type Type struct {
	Name string `json:"name"`
	// Interfaces is the most network interfaces of an instance.
	Interfaces int `json:"interfaces"`
	// Addresses is Ipv4AddressesPerInterface: the slots of one interface, the
	// one of its primary address included.
	Addresses  int        `json:"addresses"`
	Hypervisor Hypervisor `json:"hypervisor"`
	// Hidden types can be run, but DescribeInstanceTypes does not know them.
	Hidden bool `json:"hidden,omitempty"`
}

// Types is a choice of EC2's instance types with their documented limits
// (https://docs.aws.amazon.com/ec2/latest/instancetypes/). It is what there is in
// this simulator and no source for anything else.
func Types() []Type {
	return []Type{
		{Name: "t3.small", Interfaces: 3, Addresses: 4, Hypervisor: Nitro},
		{Name: "t3.medium", Interfaces: 3, Addresses: 6, Hypervisor: Nitro},
		{Name: "t3.large", Interfaces: 3, Addresses: 12, Hypervisor: Nitro},
		{Name: "t3.xlarge", Interfaces: 4, Addresses: 15, Hypervisor: Nitro},
		{Name: "t3.2xlarge", Interfaces: 4, Addresses: 15, Hypervisor: Nitro},
		{Name: "c5.large", Interfaces: 3, Addresses: 10, Hypervisor: Nitro},
		{Name: "c5.xlarge", Interfaces: 4, Addresses: 15, Hypervisor: Nitro},
		{Name: "c5.2xlarge", Interfaces: 4, Addresses: 15, Hypervisor: Nitro},
		{Name: "c5.4xlarge", Interfaces: 8, Addresses: 30, Hypervisor: Nitro},
		{Name: "m5.large", Interfaces: 3, Addresses: 10, Hypervisor: Nitro},
		{Name: "m5.xlarge", Interfaces: 4, Addresses: 15, Hypervisor: Nitro},
		{Name: "m5.2xlarge", Interfaces: 4, Addresses: 15, Hypervisor: Nitro},
		{Name: "m5.4xlarge", Interfaces: 8, Addresses: 30, Hypervisor: Nitro},
		{Name: "m5.24xlarge", Interfaces: 15, Addresses: 50, Hypervisor: Nitro},
		{Name: "m6i.large", Interfaces: 3, Addresses: 10, Hypervisor: Nitro},
		{Name: "m6i.xlarge", Interfaces: 4, Addresses: 15, Hypervisor: Nitro},
		{Name: "r5.large", Interfaces: 3, Addresses: 10, Hypervisor: Nitro},
		{Name: "t2.large", Interfaces: 3, Addresses: 12, Hypervisor: Xen},
		{Name: "m4.large", Interfaces: 2, Addresses: 10, Hypervisor: Xen},
		{Name: "m4.xlarge", Interfaces: 4, Addresses: 15, Hypervisor: Xen},
		{Name: "c4.large", Interfaces: 3, Addresses: 10, Hypervisor: Xen},
	}
}

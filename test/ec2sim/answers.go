package ec2sim

import (
	"net/netip"
	"time"
)

// The XML of EC2's answers. The names are those that the SDK's deserializers
// look for; only the fields are there that the simulator has something to say
// about.

// answer is the content of an answer's root element.
type answer interface{ setRequestID(id string) }

// head is in every answer that is no error.
type head struct {
	RequestID string `xml:"requestId"`
}

func (h *head) setRequestID(id string) { h.RequestID = id }

type errorAnswer struct {
	Code      string `xml:"Errors>Error>Code"`
	Message   string `xml:"Errors>Error>Message"`
	RequestID string `xml:"RequestID"`
}

type assignAnswer struct {
	head
	Interface string          `xml:"networkInterfaceId"`
	Addresses []addressAnswer `xml:"assignedPrivateIpAddressesSet>item"`
	Prefixes  []prefixAnswer  `xml:"assignedIpv4PrefixSet>item"`
}

type unassignAnswer struct {
	head
	Return bool `xml:"return"`
}

type addressAnswer struct {
	Address netip.Addr `xml:"privateIpAddress"`
	Primary *bool      `xml:"primary"` // only where an interface is described
}

type prefixAnswer struct {
	Prefix netip.Prefix `xml:"ipv4Prefix"`
}

type interfacesAnswer struct {
	head
	Interfaces []interfaceAnswer `xml:"networkInterfaceSet>item"`
	NextToken  string            `xml:"nextToken,omitempty"`
}

// interfaceAnswer serves DescribeNetworkInterfaces and, inside an instance,
// DescribeInstances.
type interfaceAnswer struct {
	ID          string            `xml:"networkInterfaceId"`
	Subnet      string            `xml:"subnetId"`
	VPC         string            `xml:"vpcId"`
	Zone        string            `xml:"availabilityZone,omitempty"`
	Owner       string            `xml:"ownerId"`
	Description string            `xml:"description"`
	Kind        string            `xml:"interfaceType"`
	Status      string            `xml:"status"`
	MAC         string            `xml:"macAddress"`
	Primary     netip.Addr        `xml:"privateIpAddress"`
	Attachment  *attachmentAnswer `xml:"attachment"`
	Addresses   []addressAnswer   `xml:"privateIpAddressesSet>item"`
	Prefixes    []prefixAnswer    `xml:"ipv4PrefixSet>item"`
}

type attachmentAnswer struct {
	ID       string    `xml:"attachmentId"`
	Instance string    `xml:"instanceId,omitempty"`
	Device   int       `xml:"deviceIndex"`
	Card     int       `xml:"networkCardIndex"`
	Status   string    `xml:"status"`
	Time     time.Time `xml:"attachTime"`
	Dies     bool      `xml:"deleteOnTermination"`
}

type instancesAnswer struct {
	head
	Reservations []instanceReservation `xml:"reservationSet>item"`
	NextToken    string                `xml:"nextToken,omitempty"`
}

// instanceReservation is one launch; here each instance is launched alone.
type instanceReservation struct {
	ID        string           `xml:"reservationId"`
	Owner     string           `xml:"ownerId"`
	Instances []instanceAnswer `xml:"instancesSet>item"`
}

type instanceAnswer struct {
	ID         string            `xml:"instanceId"`
	Type       string            `xml:"instanceType"`
	State      stateAnswer       `xml:"instanceState"`
	Zone       string            `xml:"placement>availabilityZone"`
	Platform   string            `xml:"platform"`
	Hypervisor Hypervisor        `xml:"hypervisor"`
	Launched   time.Time         `xml:"launchTime"`
	DNSName    string            `xml:"privateDnsName"`
	Address    string            `xml:"privateIpAddress,omitempty"`
	Subnet     string            `xml:"subnetId,omitempty"`
	VPC        string            `xml:"vpcId,omitempty"`
	Interfaces []interfaceAnswer `xml:"networkInterfaceSet>item"`
}

type stateAnswer struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

type typesAnswer struct {
	head
	Types     []typeAnswer `xml:"instanceTypeSet>item"`
	NextToken string       `xml:"nextToken,omitempty"`
}

type typeAnswer struct {
	Name       string     `xml:"instanceType"`
	Hypervisor Hypervisor `xml:"hypervisor"`
	Addresses  int        `xml:"networkInfo>ipv4AddressesPerInterface"`
	Interfaces int        `xml:"networkInfo>maximumNetworkInterfaces"`
}

type subnetsAnswer struct {
	head
	Subnets   []subnetAnswer `xml:"subnetSet>item"`
	NextToken string         `xml:"nextToken,omitempty"`
}

type subnetAnswer struct {
	ID        string       `xml:"subnetId"`
	VPC       string       `xml:"vpcId"`
	Owner     string       `xml:"ownerId"`
	State     string       `xml:"state"`
	Zone      string       `xml:"availabilityZone"`
	CIDR      netip.Prefix `xml:"cidrBlock"`
	Available int          `xml:"availableIpAddressCount"`
}

type reservationsAnswer struct {
	head
	Reservations []reservationAnswer `xml:"subnetIpv4CidrReservationSet>item"`
	NextToken    string              `xml:"nextToken,omitempty"`
}

type reservationAnswer struct {
	ID     string          `xml:"subnetCidrReservationId"`
	Subnet string          `xml:"subnetId"`
	CIDR   netip.Prefix    `xml:"cidr"`
	Kind   ReservationKind `xml:"reservationType"`
	Owner  string          `xml:"ownerId"`
}

package history

// Step is something that happens. Which fields count depends on Act.
type Step struct {
	At  Duration `json:"at"` // since the beginning
	Act Act      `json:"act"`

	// On is the name of the pod, node or subnet that it happens to; of replicas it is
	// Leader or Standby. Empty: to all, or to none in particular.
	On  string   `json:"on,omitempty"`
	For Duration `json:"for,omitempty"` // how long it lasts
	// Count is how many there are of what comes or goes; of effects: how many more there
	// are before it happens.
	Count int `json:"count,omitempty"`
	// Delay is by how much what is slow is slower.
	Delay Duration `json:"delay,omitempty"`
	// Chance is of how many requests it happens to, between 0 and 1.
	Chance float64 `json:"chance,omitempty"`
	// Draw chooses among what there is at that time.
	Draw uint64 `json:"draw,omitempty"`

	Pod      *Pod      `json:"pod,omitempty"`
	Node     *Node     `json:"node,omitempty"`
	Settings *Settings `json:"settings,omitempty"`
	// Fault, Action and Code are of EC2: a kind of fault of package ec2sim, the action
	// that it strikes (empty: any), and what it answers.
	Fault  string `json:"fault,omitempty"`
	Action string `json:"action,omitempty"`
	Code   string `json:"code,omitempty"`
}

// The replicas that a step is about.
const (
	Leader  = "leader"
	Standby = "standby"
)

// Pod is a pod to come.
type Pod struct {
	Name string `json:"name"`
	// Plain has it bound by a scheduler that asks no extender, and Bound by hand, to that
	// node. Only is the one node that it may be on.
	Plain bool   `json:"plain,omitempty"`
	Bound string `json:"bound,omitempty"`
	Only  string `json:"only,omitempty"`
	// Subnet is that of the nodes that it may be on.
	Subnet    string `json:"subnet,omitempty"`
	Priority  int    `json:"priority,omitempty"`
	Protected bool   `json:"protected,omitempty"` // by a disruption budget
	// Quiet pods hold an address without asking for the resource.
	Quiet bool `json:"quiet,omitempty"`
	// Starts is how long it takes to start, Runs how long it runs before it succeeds by
	// itself (0: until it is deleted), and Stops how long it takes to stop.
	Starts Duration `json:"starts,omitempty"`
	Runs   Duration `json:"runs,omitempty"`
	Stops  Duration `json:"stops,omitempty"`
}

// Act is what happens.
type Act string

// What happens to pods.
const (
	// Create has Count pods come, which are called Pod.Name, or Pod.Name-0 and so on where
	// there are several.
	Create Act = "create"
	Delete Act = "delete"
	// Force deletes a pod without a grace period.
	Force Act = "force"
	// Replace deletes a pod by force, and makes Pod, which has its name, For later.
	Replace Act = "replace"
	// RollOut deletes a pod, and makes Pod once it has gone.
	RollOut Act = "roll-out"
	// Phase has another client write that a pod has Succeeded, while its containers run.
	Phase Act = "phase"
)

// What happens to all pods, in an Ending.
const (
	// HalfGo deletes every other pod, AllGo every one by force.
	HalfGo Act = "half-go"
	AllGo  Act = "all-go"
)

// What happens to the settings.
const (
	Set Act = "set"
	// OtherAllocator has AWS's old controller stand there For a while.
	OtherAllocator Act = "other-allocator"
)

// What happens to nodes.
const (
	// Leave terminates a node's instance; its Node is deleted at once, its pods For later.
	Leave Act = "leave"
	// Join has a Node come, with an instance of its own.
	Join Act = "join"
	// Reregister deletes the Node of an instance that lives on, and makes it again For
	// later.
	Reregister Act = "reregister"
	// Twin has the instance of a node register a second Node For a while.
	Twin Act = "twin"
	// Unlabel takes the label of the operating system off For a while.
	Unlabel Act = "unlabel"
	// Unready has the kubelet not report For a while.
	Unready Act = "unready"
)

// What happens to the replicas of Slotwise.
const (
	// Crash ends a replica after Count more effects; it starts again For later.
	Crash Act = "crash"
	// Freeze stops it after Count more effects, For a while.
	Freeze Act = "freeze"
	// Stop ends it in order; it starts again For later.
	Stop Act = "stop"
	// Partition cuts a replica off from the API server For a while.
	Partition Act = "partition"
)

// What happens to the API server, or to the way to it.
const (
	APIDown   Act = "api-down"
	APIFreeze Act = "api-freeze"
	// APISlow has each request take Delay longer.
	APISlow Act = "api-slow"
	// APILoses loses requests and answers.
	APILoses Act = "api-loses"
	// APILate has writes done up to a minute after their timeout.
	APILate Act = "api-late"
	// APIBusy turns requests away.
	APIBusy Act = "api-busy"
	// WatchCut ends all watches; with Chance, events cut theirs For a while.
	WatchCut Act = "watch-cut"
	// WatchLag has all watches be Delay behind.
	WatchLag Act = "watch-lag"
)

// What happens to EC2.
const (
	// EC2Fault has calls go wrong by the kind of Fault.
	EC2Fault Act = "ec2-fault"
	// EC2Lag has reads be Delay behind.
	EC2Lag Act = "ec2-lag"
	// EC2Rates leaves a tenth of the request rates.
	EC2Rates Act = "ec2-rates"
	// EC2Refuses has changes of a node's interface, or of those of a subnet, refused.
	EC2Refuses Act = "ec2-refuses"
)

// What other clients of EC2 do.
const (
	// OthersUnassign takes a prefix or some addresses from a node's interface.
	OthersUnassign Act = "others-unassign"
	// OthersTake does the same, and keeps one of the addresses For a while.
	OthersTake Act = "others-take"
	// OthersAssign puts an address or a prefix on a node's interface.
	OthersAssign Act = "others-assign"
	// OthersOccupy takes Count addresses of a subnet For a while; with Draw odd they are
	// another account's, which no describe shows.
	OthersOccupy Act = "others-occupy"
)

// What happens to kubelets, schedulers, and the objects that Slotwise writes.
const (
	KubeletRestart   Act = "kubelet-restart"
	SchedulerRestart Act = "scheduler-restart"
	SlotsDelete      Act = "nodeslots-delete"
	SlotsChange      Act = "nodeslots-change"
	CapacityZero     Act = "capacity-zero"
	MarksRemove      Act = "node-annotations-remove"
)

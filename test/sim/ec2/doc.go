// Package ec2 is the simulated EC2 of test/ec2sim in one process and without HTTP: it
// implements the port allocator/cloud.API. What there is, its rules, latency, throttling,
// faults and the log of calls are those of test/ec2sim; see there.
package ec2

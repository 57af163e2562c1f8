package controlplane

import (
	"net"
	"testing"
)

func TestFreePort(t *testing.T) {
	seen := map[int]bool{}
	for range 2*blockPorts + 1 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
		l, err := listen(port)
		if err != nil {
			t.Fatalf("port %d is not free: %v", port, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, claim := range ports.claims {
		if port := claim.Addr().(*net.TCPAddr).Port; seen[port] {
			t.Errorf("port %d was handed out, which keeps its block for this process", port)
		} else if l, err := listen(port); err == nil {
			t.Errorf("another process could take the block of port %d", port)
			_ = l.Close()
		}
	}
}

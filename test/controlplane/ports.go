package controlplane

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
)

// Ports are handed out of blocks, which a process has to itself: it listens on the
// first port of each for as long as it lives. All are below those that systems give
// to outgoing connections, so a port is still free when its user comes to it, or
// comes back to it after a restart.
const (
	lowestPort = 10_000
	blockPorts = 100
	blocks     = 200
)

var ports struct {
	mu        sync.Mutex
	next, end int            // of the block in use
	claims    []net.Listener // of the blocks that are this process's
}

// FreePort returns a port of loopback that nobody uses, and that no other process
// gets from here.
func FreePort() (int, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for {
		if ports.next == ports.end {
			if err := claimBlock(); err != nil {
				return 0, err
			}
		}
		port := ports.next
		ports.next++
		if l, err := listen(port); err == nil {
			return port, l.Close()
		}
	}
}

// claimBlock takes a block that no process has.
func claimBlock() (err error) {
	for i := range blocks {
		first := lowestPort + (os.Getpid()+i)%blocks*blockPorts
		var l net.Listener
		if l, err = listen(first); err == nil {
			ports.claims = append(ports.claims, l)
			ports.next, ports.end = first+1, first+blockPorts
			return nil
		}
	}
	return fmt.Errorf("no free ports: %w", err)
}

func listen(port int) (net.Listener, error) { return net.Listen("tcp", loopback(port)) }

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

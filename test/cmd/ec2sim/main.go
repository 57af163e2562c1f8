// Command ec2sim serves a simulated EC2 over HTTP. See package ec2sim.
package main

import (
	"context"
	"fmt"
	"os"
)

func main() {
	if err := command().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "ec2sim:", err)
		os.Exit(1)
	}
}

// Package process is a process of the simulation that can freeze, thaw and crash. What it
// asks of others and hears from them passes its Gate; the logic between two passes is the
// process's own and needs no check, as nobody sees it.
//
// Whoever runs the parts of one process may come in: replicas, schedulers, kubelets.
package process

// Package torture runs five real nodes in the namespaces of cluster/netlab with
// clients on each, breaks nodes and lines, and holds what clients got against
// what MESH §6 promises (make torture). It needs Linux and root.
//
// Reading order: torture_test.go (a run), faults_test.go (what is done to it),
// world_test.go (the history), actors_test.go and client_test.go (the
// clients), node_test.go (processes and what their logs say), measure_test.go.
package torture

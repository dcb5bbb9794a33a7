// Peers measures meshrt beside other servers, in turn on one machine, and writes
// what came out as Markdown and JSON: make bench-peers. It installs what it needs
// where it may. Linux only, as CPU time and memory are read from the kernel.
//
// DESIGN.md of bench tells what is measured; RESULTS.md is what came out.
package main

package node

import "github.com/meshrt/meshrt/wire"

// HandleMessages is what a link does with messages of another node.
func (n *Node) HandleMessages(list []*wire.Message) { remote{n}.HandleMessages(list) }

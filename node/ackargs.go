package node

import (
	"github.com/meshrt/meshrt/wire"
)

// AckArgs is Ack for arguments that are JSON texts already and go on byte for
// byte. Placeholders in them stand for the attachments, which must not change
// any more.
func (e *Event) AckArgs(args wire.Args, attachments [][]byte) error {
	if !e.HasAck {
		return nil
	}
	if len(args) > wire.MaxArgs {
		return Errorf(CodeLimit, "ack: more than %d arguments", wire.MaxArgs)
	}
	for i, a := range args {
		if !wire.ValidJSON(a) {
			return Errorf(CodeInvalid, "argument %d of the ack is not JSON", i+1)
		}
	}
	list := args.Join()
	if _, err := wire.Placeholders(list, len(attachments)); err != nil {
		return Errorf(CodeInvalid, "ack: %v", err)
	}
	if !e.acked.Swap(true) {
		e.Session.tell(&Delivery{Kind: KindAck, AckID: e.AckID, Args: list, Attachments: attachments})
	}
	return nil
}

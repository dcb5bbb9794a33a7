package ws

import (
	"encoding/binary"
	"errors"
	"net"
	"time"
)

// courtesy is how long the close frame for a breach may take: a client that breaks the
// rules may never read it.
const courtesy = time.Second

// pong answers a ping. It waits for the frame that is on its way out, and for the
// socket, so that a client that sends pings and reads nothing is not read either.
func (c *Conn) pong(data []byte) error {
	c.tap.out.lock()
	defer c.tap.out.unlock()
	return c.writeControl(pong, data, c.cfg.WriteTimeout)
}

// complain says that the client has broken the rules, if nothing else is on its way
// out.
func (c *Conn) complain() {
	c.tryClose(binary.BigEndian.AppendUint16(nil, uint16(StatusProtocolError)), courtesy)
}

// answerClose sends the client's close frame back, or that of an end which has begun:
// the client learns why, though its own was on its way already. Behind a frame that is on
// its way out it waits as long as an end may take, which has begun then. It says what the
// client's means.
func (c *Conn) answerClose(data []byte) (cause Cause) {
	cause = causeOfClose(data)
	if c.over() && !c.cut() {
		data = c.lastWord()
	}
	if c.tryClose(data, CloseTimeout) {
		return cause
	}
	c.fail(cause)
	c.tap.out.lock()
	defer c.tap.out.unlock()
	c.writeControl(opClose, data, CloseTimeout)
	return cause
}

// tryClose sends a close frame, unless another frame is on its way out.
func (c *Conn) tryClose(data []byte, timeout time.Duration) (tried bool) {
	if !c.tap.out.tryLock() {
		return false
	}
	defer c.tap.out.unlock()
	c.writeControl(opClose, data, timeout)
	return true
}

// writeControl is one frame; tap.out is held. Nothing may follow a close frame
// (RFC 6455, section 5.5.1).
func (c *Conn) writeControl(op Opcode, data []byte, timeout time.Duration) error {
	frame := append(frameHead(finBit|byte(op), len(data)), data...)
	out := c.tap.tryLocked([]encoded{{head: frame}})
	var err error
	if out < len(frame) {
		c.tap.writeBy(time.Now().Add(timeout))
		err = c.tap.writeLocked(frame[out:])
	}
	if op == opClose && err == nil {
		c.tap.dead = net.ErrClosed
	}
	return err
}

// lastWord is the payload of our close frame, once End was called with a status.
func (c *Conn) lastWord() []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(c.status)), c.text...)
}

// goodbye is the closing handshake from our side. It waits for the client's close
// frame: closing at once, with unread input, makes the kernel reset the connection, and
// the client loses what was written last.
func (c *Conn) goodbye() {
	c.tap.out.lock()
	err := c.writeControl(opClose, c.lastWord(), CloseTimeout)
	c.tap.out.unlock()
	if err != nil && !errors.Is(err, net.ErrClosed) { // else one is out, an answer
		return
	}
	late := time.NewTimer(time.Until(c.by))
	defer late.Stop()
	select {
	case <-c.silent.whenSet():
	case <-late.C:
	}
}

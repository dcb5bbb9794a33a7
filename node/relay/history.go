package relay

import (
	"encoding/json"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire/plain"
)

// past is the answer to history.
type past struct {
	OK       bool              `json:"ok"`
	Messages []json.RawMessage `json:"messages"`
	More     bool              `json:"more,omitempty"`
	Missing  []missing         `json:"missing"`
}

// history(room, {limit, since, unseen}): what was published lately, for members. It waits for other nodes, and
// the client's next events wait for it.
func history(e *node.Event) {
	if !e.HasAck {
		return
	}
	room, err := name(e, 0, "room")
	var opt node.HistoryOptions
	if err == nil {
		opt, err = historyOptions(e)
	}
	var h node.History
	if err == nil {
		h, err = e.Session.History(e.Session.Context(), room, opt)
	}
	if err == nil {
		err = e.Ack(pastOf(h))
	}
	if err != nil {
		answer(e, err)
	}
}

// pastOf leaves out what has no form as JSON: its publisher's mistake.
func pastOf(h node.History) past {
	p := past{OK: true, Messages: []json.RawMessage{}, More: h.More, Missing: []missing{}}
	for _, m := range h.Messages {
		if text, err := plain.AppendPast(nil, m.Message, m.ID, m.Age); err == nil {
			p.Messages = append(p.Messages, text)
		}
	}
	for _, x := range h.Missing {
		p.Missing = append(p.Missing, missing(x))
	}
	return p
}

// historyOptions are those of the second argument, which need not be there.
func historyOptions(e *node.Event) (opt node.HistoryOptions, err error) {
	if len(e.Args) < 2 || string(e.Args[1]) == "null" {
		return opt, nil
	}
	var object map[string]json.RawMessage // a struct would take "LIMIT" for "limit"
	if json.Unmarshal(e.Args[1], &object) != nil {
		return opt, node.Errorf(node.CodeInvalid, "history takes an object as argument 2: limit, since and unseen")
	}
	for k, v := range object {
		switch {
		case string(v) == "null": // what typed languages write for what is not set
		case k == "limit":
			if json.Unmarshal(v, &opt.Limit) != nil || opt.Limit < 1 {
				err = node.Errorf(node.CodeInvalid, "limit is 1 to %d, not %.40s", node.MaxHistory, v)
			}
		case k == "since":
			err = since(v, &opt)
		case k == "unseen":
			if json.Unmarshal(v, &opt.Unseen) != nil {
				err = node.Errorf(node.CodeInvalid, "unseen is true or false, not %.40s", v)
			}
		default:
			err = node.Errorf(node.CodeInvalid, "history knows no %.40q: there are limit, since and unseen", k)
		}
		if err != nil {
			return opt, err
		}
	}
	return opt, nil
}

// since is a number of milliseconds ago, or the id of a message.
func since(v json.RawMessage, opt *node.HistoryOptions) error {
	var ms int64
	if json.Unmarshal(v, &opt.After) == nil && opt.After != "" {
		return nil
	}
	if json.Unmarshal(v, &ms) != nil || ms < 1 || ms > maxSince {
		return node.Errorf(node.CodeInvalid, "since is a number of milliseconds ago, or the id of a message, not %.60s", v)
	}
	opt.Within = time.Duration(ms) * time.Millisecond
	return nil
}

// maxSince is 100 days: nothing is kept for so long.
const maxSince = 100 * 24 * 3600 * 1000

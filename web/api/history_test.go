package api_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/api"
	"github.com/meshrt/meshrt/web/webtest"
)

func TestHistoryIsListed(t *testing.T) {
	ids := regexp.MustCompile(`"id":"([^"]*)"`)
	serveWith(t, node.Config{Recovery: time.Minute}, api.Config{}, func(t *testing.T, s *webtest.Server, _, _ *listener, _ []string) {
		s.Post("/api/publish", `{"room":"x y","event":"e","args":[1,12345678901234567890]}`)
		time.Sleep(2 * time.Second)
		s.Post("/api/publish", `{"room":"x y","event":"f","data":"é"}`)
		first, second := `{"age_ms":2000,"id":"ID","event":"e","data":1,"args":[1,12345678901234567890]}`, `{"age_ms":0,"id":"ID","event":"f","data":"é"}`
		_, got := s.Get("/api/history?room=x+y")
		id := ids.FindStringSubmatch(got)[1]
		for query, want := range map[string]string{
			"room=x+y":                  `{"messages":[` + first + `,` + second + `],"missing":[]}`,
			"room=x+y&limit=1":          `{"messages":[` + second + `],"more":true,"missing":[]}`,
			"room=x+y&since=1000":       `{"messages":[` + second + `],"missing":[]}`,
			"room=x+y&since=" + id:      `{"messages":[` + second + `],"missing":[]}`,
			"room=x+y&namespace=/other": `{"messages":[],"missing":[]}`,
			"room=nobody":               `{"messages":[],"missing":[]}`,
		} {
			if status, got := s.Get("/api/history?" + query); status != 200 || ids.ReplaceAllString(got, `"id":"ID"`) != want {
				t.Errorf("%s: %d %s, want %s", query, status, got, want)
			}
		}
		for bad, wrong := range map[string]string{"": "room", "room=": "room", "room=x&limit=0": "limit", "room=x&limit=1001": "limit", "room=x&limit=x": "limit",
			"room=x&since=0": "since", "room=x&since=-5": "since", "room=x&since=x": "since", "room=x&since=1&since=2": "since",
			"room=x&after=y": "namespace room limit since", "room=x&namespace=y": "namespace", "%zz": "zz", "room=" + strings.Repeat("x", 256): "room"} {
			if status, got := s.Get("/api/history?" + bad); status != 400 || !strings.Contains(got, wrong) {
				t.Errorf("%s: %d %s, want to hear of %s", bad, status, got, wrong)
			}
		}
	})
	serve(t, api.Config{}, func(t *testing.T, s *webtest.Server, _, _ *listener, _ []string) {
		if status, got := s.Get("/api/history?room=x"); status != 503 || !strings.Contains(got, "-recovery") {
			t.Errorf("without recovery: %d %s", status, got)
		}
	})
}

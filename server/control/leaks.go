package control

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Requests that the forward proxy refused because they were for other hosts.

// Leak is a destination that was refused, and how often.
type Leak struct {
	Host  string    `json:"host"` // as host:port
	Count int       `json:"count"`
	First time.Time `json:"first"` // wall time
	Last  time.Time `json:"last"`
}

// Leaks counts what was refused. It is safe for concurrent use.
type Leaks struct {
	mu    sync.Mutex
	hosts map[string]*Leak
	more  int // refusals of hosts beyond mostLeaks
}

// mostLeaks is the largest number of destinations that are counted separately.
const mostLeaks = 1000

// Note counts a refusal.
func (l *Leaks) Note(host string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts == nil {
		l.hosts = map[string]*Leak{}
	}
	leak := l.hosts[host]
	if leak == nil {
		if len(l.hosts) >= mostLeaks {
			l.more++
			return
		}
		leak = &Leak{Host: host, First: at.UTC()}
		l.hosts[host] = leak
	}
	leak.Count++
	leak.Last = at.UTC()
}

// LeaksReply lists the other hosts that programs tried to reach. None of these
// requests was sent on.
type LeaksReply struct {
	Total   int    `json:"total"`
	Refused []Leak `json:"refused"` // by host
}

func (c *Control) listLeaks() (LeaksReply, error) {
	c.Leaks.mu.Lock()
	defer c.Leaks.mu.Unlock()
	reply := LeaksReply{Total: c.Leaks.more, Refused: []Leak{}}
	for _, l := range c.Leaks.hosts {
		reply.Refused = append(reply.Refused, *l)
		reply.Total += l.Count
	}
	slices.SortFunc(reply.Refused, func(a, b Leak) int { return strings.Compare(a.Host, b.Host) })
	return reply, nil
}

func (c *Control) forgetLeaks() (Removed, error) {
	c.Leaks.mu.Lock()
	defer c.Leaks.mu.Unlock()
	n := len(c.Leaks.hosts)
	c.Leaks.hosts, c.Leaks.more = nil, 0
	return Removed{n}, nil
}

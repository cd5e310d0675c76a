package action

import (
	"encoding/binary"
	"time"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Tasks: begun by an action, ended at once, by time or by polls.

func taskKey(o ssm.Owner, flowID int64) []byte {
	return binary.BigEndian.AppendUint64(AccountKey(o.Uin, o.Generation), uint64(flowID))
}

// flowIDOf is the FlowID of a task's key.
func flowIDOf(key []byte) int64 { return int64(binary.BigEndian.Uint64(key[len(key)-8:])) }

// taskRekey returns the key of a task from a file of format 1, where the key
// was the FlowID alone.
func taskRekey(key []byte, t *ssm.Task) []byte {
	return taskKey(ssm.NewOwner(t.Uin, ""), flowIDOf(key))
}

// flowIDs counts the tasks that each account has begun.
var flowIDs = &store.Table[uint64]{Name: "flowids"}

// firstFlowID is the first FlowID of a new store: official examples have
// numbers from 43414 on.
const firstFlowID = 43414

// newFlowID draws the FlowID of a task that begins. A seed may have used any
// number.
func (t *Tx) newFlowID() (int64, error) {
	counter := AccountKey(t.Owner.Uin, t.Owner.Generation)
	begun, err := flowIDs.Get(t.tx, counter)
	if err != nil {
		return 0, err
	}
	if begun == nil {
		begun = new(uint64)
		if t.Owner.Generation == 0 {
			*begun = tasks.Drawn(t.tx) // how a file of format 1 counted
		}
	}
	for {
		*begun++
		id := firstFlowID + int64(*begun) - 1
		if old, err := tasks.Get(t.tx, taskKey(t.Owner, id)); err != nil {
			return 0, err
		} else if old == nil {
			return id, flowIDs.Put(t.tx, counter, begun)
		}
	}
}

// done records a task that needs no time, and returns its FlowID.
func (c *Call) done(kind ssm.TaskKind, name string) (*int64, error) {
	flowID, err := c.newFlowID()
	if err != nil {
		return nil, err
	}
	return &flowID, tasks.Put(c.tx, taskKey(c.Owner, flowID), &ssm.Task{
		Kind: kind, Status: ssm.TaskDone, Uin: c.Owner.Uin, Region: c.Owner.Region, SecretName: name, BeganAt: c.Now.UnixNano(),
	})
}

// newTask makes a task the one that runs for a secret. Neither is written.
func (c *Call) newTask(kind ssm.TaskKind, s *ssm.Secret) (flowID int64, t *ssm.Task, err error) {
	if flowID, err = c.newFlowID(); err != nil {
		return 0, nil, err
	}
	s.FlowID = flowID
	return flowID, &ssm.Task{
		Kind: kind, Uin: c.Owner.Uin, Region: c.Owner.Region, SecretName: s.Name,
		BeganAt: c.Now.UnixNano(), Fails: !c.dryRun && c.Tasks.Fail(),
	}, nil
}

// begin begins a task of a secret and writes both. If the pace is at once, it
// ends the task, too. The caller has not written the secret before.
func (c *Call) begin(kind ssm.TaskKind, s *ssm.Secret) (flowID int64, err error) {
	flowID, t, err := c.newTask(kind, s)
	if err != nil {
		return 0, err
	}
	return flowID, c.start(flowID, t, s)
}

// start lets a task begin, and ends it if its pace is at once. s is its secret,
// nil if that is gone.
func (c *Call) start(flowID int64, t *ssm.Task, s *ssm.Secret) error {
	pace := c.Tasks.Pace()
	switch {
	case pace.Polls > 0:
		t.Polls = pace.Polls
	case pace.After > 0:
		end := c.Now.Add(pace.After)
		t.DueAt = end.UnixNano()
		c.due(end)
	default:
		return c.endNow(flowID, t, s)
	}
	if err := tasks.Put(c.tx, taskKey(c.Owner, flowID), t); err != nil || s == nil {
		return err
	}
	return c.put(s)
}

// endNow ends a task whose time has come. One that changes a real database does
// so now, and ends when that is done.
func (c *Call) endNow(flowID int64, t *ssm.Task, s *ssm.Secret) error {
	switch {
	case t.Kind == ssm.DeleteTask:
		s = nil // there may be another one of its name by now
		if len(t.Drop) > 0 && !t.Fails {
			return c.ready(flowID, t, nil)
		}
	case s != nil && s.FlowID == flowID && !t.Fails && c.live(s):
		return c.ready(flowID, t, s)
	}
	return c.end(flowID, t, s)
}

// end ends a task now and writes it and its secret, nil if that is gone.
func (c *Call) end(flowID int64, t *ssm.Task, s *ssm.Secret) error {
	next := t.Pending
	t.Status, t.DueAt, t.Polls, t.Ready, t.Pending = ssm.TaskDone, 0, 0, false, ssm.Login{}
	if t.Fails || t.Kind != ssm.DeleteTask && (s == nil || s.FlowID != flowID) {
		t.Status = ssm.TaskFailed
	}
	if s != nil && s.FlowID == flowID {
		if err := c.take(t, s, next); err != nil {
			return err
		}
	}
	c.Events = append(c.Events, c.taskEvent(flowID, t))
	return tasks.Put(c.tx, taskKey(c.Owner, flowID), t)
}

// take writes the secret as the end of its task leaves it. next is its new
// login, drawn if it is zero.
func (c *Call) take(t *ssm.Task, s *ssm.Secret, next ssm.Login) error {
	s.FlowID = 0
	switch {
	case t.Kind == ssm.CreateTask && t.Fails:
		s.Creation = ssm.CreationFailed
	case t.Kind == ssm.CreateTask:
		s.Creation = ssm.CreationDone
		if err := c.newValue(s, "", next); err != nil {
			return err
		}
		s.Rotation.Schedule(c.Now)
	case t.Kind == ssm.RotateTask && !t.Fails:
		if err := c.rotate(s, time.Unix(0, t.BeganAt), next); err != nil {
			return err
		}
	}
	return c.put(s)
}

// FlowRequest has the parameters of DescribeAsyncRequestInfo.
type FlowRequest struct {
	FlowID int64 `tc3:"required"`
	DryRunnable
}

// TaskReply is the answer of DescribeAsyncRequestInfo.
type TaskReply struct {
	TaskStatus  int64 // 0 running, 1 done, 2 failed
	Description string
}

// 1078/41518, 1140/58265. A command, as a poll can be what ends a task.
var describeAsyncRequestInfo = command(spec[FlowRequest, TaskReply]{
	Name: "DescribeAsyncRequestInfo", Rate: 20,
	Do: func(c *Call, q *FlowRequest) (*TaskReply, error) {
		t, err := tasks.Get(c.tx, taskKey(c.Owner, q.FlowID))
		switch {
		case err != nil:
			return nil, err
		case t == nil || t.Region != c.Owner.Region:
			return nil, apierr.TaskNotFound.With(q.FlowID)
		}
		if err := c.poll(q.FlowID, t); err != nil {
			return nil, err
		}
		return &TaskReply{int64(t.Status), t.Status.String()}, nil
	},
})

// poll counts a poll of a task that ends by polls.
func (c *Call) poll(flowID int64, t *ssm.Task) error {
	if t.Status != ssm.TaskRunning || t.Polls == 0 {
		return nil
	}
	if t.Polls--; t.Polls > 0 {
		return tasks.Put(c.tx, taskKey(c.Owner, flowID), t)
	}
	s, err := secrets.Get(c.tx, secretKey(c.Owner, t.SecretName))
	if err != nil {
		return err
	}
	return c.endNow(flowID, t, s)
}

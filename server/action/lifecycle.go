package action

import (
	"errors"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
)

// A secret's life: enabled, disabled, deleted, restored. What is allowed when
// is ssm's table.

// toStatus is an action that only moves a secret to another status.
func toStatus(name string, operation *ssm.Operation, change func(*ssm.Secret)) *Action {
	return command(spec[NameRequest, NameReply]{
		Name: name, Rate: 50,
		Check: checkName,
		Do: func(c *Call, q *NameRequest) (*NameReply, error) {
			s, err := c.change(operation, q.SecretName, change)
			if err != nil {
				return nil, err
			}
			return &NameReply{s.Name}, nil
		},
	})
}

// 1078/38651, 1078/38652 (1140/40525) and 1078/38644.
var (
	enableSecret  = toStatus("EnableSecret", ssm.Enable, func(s *ssm.Secret) { s.Disabled = false })
	disableSecret = toStatus("DisableSecret", ssm.Disable, func(s *ssm.Secret) { s.Disabled = true })
	restoreSecret = command(spec[NameRequest, NameReply]{
		Name: "RestoreSecret", Rate: 50,
		Check: checkName,
		Do: func(c *Call, q *NameRequest) (*NameReply, error) {
			s, err := c.find(ssm.Restore, q.SecretName)
			if err == nil {
				err = c.keepAccounts(s)
			}
			if err != nil {
				return nil, err
			}
			s.Restore()
			return &NameReply{s.Name}, c.put(s)
		},
	})
)

// keepAccounts ends the task that waits to drop the accounts of a secret when
// it is deleted.
func (c *Call) keepAccounts(s *ssm.Secret) error {
	flowID, t, err := c.deletion(s)
	if t == nil {
		return err
	}
	s.FlowID, t.Fails, t.Reason = 0, true, "the secret was restored"
	return c.end(flowID, t, nil)
}

// deletion returns the task that waits to drop the accounts of a secret, nil if
// there is none.
func (c *Call) deletion(s *ssm.Secret) (flowID int64, t *ssm.Task, err error) {
	if s.FlowID == 0 {
		return 0, nil, nil
	}
	t, err = tasks.Get(c.tx, taskKey(c.Owner, s.FlowID))
	if t == nil || t.Kind != ssm.DeleteTask {
		return 0, nil, err
	}
	return s.FlowID, t, nil
}

// DeleteSecretRequest has the parameters of DeleteSecret.
type DeleteSecretRequest struct {
	SecretName           string `tc3:"required"`
	RecoveryWindowInDays uint64 // 0 at once, 1 to 30 days
	CleanSSHKey          bool   // SSH key pairs: delete the pair in CVM too
	DeleteMode           uint64 // 0 the secret, 1 also the database accounts of a product secret
}

// DeleteSecretReply is the answer of DeleteSecret. DeleteTime is in unix
// seconds; FlowID is the task that deletes the accounts, absent where there is
// none.
type DeleteSecretReply struct {
	SecretName string
	DeleteTime int64
	FlowID     *int64 `json:",omitempty"`
}

// 1078/38655, 1140/40528.
var deleteSecret = command(spec[DeleteSecretRequest, DeleteSecretReply]{
	Name: "DeleteSecret", Rate: 50,
	Check: func(q *DeleteSecretRequest) error {
		if err := ssm.CheckName(q.SecretName); err != nil {
			return err
		}
		if err := checkChoice("RecoveryWindowInDays", q.RecoveryWindowInDays, ssm.MaxWindow); err != nil {
			return err
		}
		return checkChoice("DeleteMode", q.DeleteMode, 1)
	},
	Do: func(c *Call, q *DeleteSecretRequest) (*DeleteSecretReply, error) {
		s, err := c.find(ssm.Delete, q.SecretName)
		if err != nil {
			return nil, err
		}
		switch {
		case s.Type == ssm.SSHKeyPair && q.RecoveryWindowInDays != 0:
			return nil, apierr.NotForType.With("RecoveryWindowInDays", s.Type)
		case s.Type != ssm.SSHKeyPair && q.CleanSSHKey:
			return nil, apierr.NotForType.With("CleanSSHKey", s.Type)
		}
		reply := &DeleteSecretReply{SecretName: s.Name, DeleteTime: c.Now.Unix()}
		var drop *ssm.Task // that drops the accounts in a real database
		switch {
		case q.DeleteMode == 1 && c.live(s):
			flowID := int64(0)
			if flowID, drop, err = c.newTask(ssm.DeleteTask, s); err != nil {
				return nil, err
			}
			drop.Instance, reply.FlowID = s.ResourceID, &flowID
		case s.Type == ssm.Product && q.DeleteMode == 1:
			// The accounts exist only in this emulator, so the task that
			// deletes them is done at once.
			if reply.FlowID, err = c.done(ssm.DeleteTask, s.Name); err != nil {
				return nil, err
			}
		}
		if q.RecoveryWindowInDays == 0 {
			return reply, c.delete(s, drop)
		}
		s.Schedule(c.Now, q.RecoveryWindowInDays)
		reply.DeleteTime = int64(ssm.Unix(s.DeleteAt))
		if drop != nil { // it waits for that time
			if err := tasks.Put(c.tx, taskKey(c.Owner, s.FlowID), drop); err != nil {
				return nil, err
			}
		}
		return reply, c.put(s)
	},
})

// delete removes a secret now. Its accounts are dropped by a task, that of its
// FlowID; without one they stay, and no longer belong to the emulator.
func (c *Call) delete(s *ssm.Secret, drop *ssm.Task) (err error) {
	switch {
	case drop == nil:
		err = c.release(s)
	case !c.live(s): // not any more
		drop.Fails, drop.Reason = true, "no database is bound to the instance any more"
		err = c.end(s.FlowID, drop, nil)
	default:
		err = c.dropAccounts(s.FlowID, drop, s)
	}
	c.Events = append(c.Events, c.event("deletion", s.Name))
	return errors.Join(err, remove(c.tx, secretKey(c.Owner, s.Name)))
}

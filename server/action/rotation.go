package action

import (
	"cmp"
	"strings"
	"time"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
)

// Rotation: by hand, by policy, and reading its policy and history.

// RotationRequest has the parameters of the actions on a secret's rotation.
type RotationRequest struct {
	SecretName string `tc3:"required"`
	DryRunnable
}

func checkRotationRequest(q *RotationRequest) error { return ssm.CheckName(q.SecretName) }

// FlowReply is the answer of RotateProductSecret. FlowID is 0 where the
// rotation is no task.
type FlowReply struct{ FlowID int64 }

// 1078/41515. It doesn't move the schedule of the policy.
var rotateProductSecret = command(spec[RotationRequest, FlowReply]{
	Name: "RotateProductSecret", Rate: 20,
	Check: checkRotationRequest,
	Do: func(c *Call, q *RotationRequest) (*FlowReply, error) {
		s, err := c.find(ssm.Rotate, q.SecretName)
		switch {
		case err != nil:
			return nil, err
		case s.FlowID != 0:
			return nil, apierr.TaskIsRunning.With(s.FlowID, s.Name)
		}
		if err := cmp.Or(c.Account.CheckRotation(s), c.useKey(s, true)); err != nil {
			return nil, err
		}
		if s.Type == ssm.AccessKey {
			return &FlowReply{}, c.rotateAtOnce(s)
		}
		flowID, err := c.begin(ssm.RotateTask, s)
		return &FlowReply{flowID}, err
	},
})

// rotate archives the current value under the time at which the rotation began,
// and makes a new one now: next, the login of its next account. If that is
// zero, it is drawn. The secret is changed but not written yet.
func (c *Call) rotate(s *ssm.Secret, began time.Time, next ssm.Login) error {
	old, err := c.version(s.Name, ssm.CurrentVersion)
	if err != nil {
		return err
	}
	ids := c.history(s)
	archived := ssm.HistoryID(began, strings.Join(ids[:min(1, len(ids))], ""))
	if old != nil {
		if err := c.putVersion(s.Name, archived, old); err != nil {
			return err
		}
	}
	if len(ids) >= ssm.MaxHistory {
		for _, id := range ids[ssm.MaxHistory-1:] {
			if err := versions.Delete(c.tx, versionKey(c.Owner, s.Name, id)); err != nil {
				return err
			}
		}
	}
	s.Rotation.LastAt = c.after(s)
	return c.newValue(s, archived, next)
}

// newValue gives a secret its next value, as of now: next, or if that is zero
// one that is drawn. archived is the VersionId under which the previous value
// is kept.
func (c *Call) newValue(s *ssm.Secret, archived string, next ssm.Login) error {
	var value string
	if s.Type == ssm.AccessKey {
		var err error
		if value, err = c.newAccessKey(s); err != nil {
			return err
		}
	} else {
		if next.IsZero() {
			next = ssm.Login{UserName: s.Next().Name, Password: c.newPassword()}
		}
		s.Swap(archived, c.Now)
		value = accountValue(next.UserName, next.Password)
	}
	return c.putVersion(s.Name, ssm.CurrentVersion, &ssm.Version{CreatedAt: c.after(s), String: value})
}

// RotationStatusRequest has the parameters of UpdateRotationStatus.
type RotationStatusRequest struct {
	SecretName        string `tc3:"required"`
	EnableRotation    bool   `tc3:"required"`
	Frequency         *int64 // days
	RotationBeginTime string // YYYY-MM-DD hh:mm:ss, UTC+8
	DryRunnable
}

// EmptyReply is an answer with nothing but a RequestId.
type EmptyReply struct{}

// 1078/41514. A frequency and a begin that are given are stored even while
// rotation is off, as CreateProductSecret stores them: Terraform sends both
// then and reads them again. If rotation is switched on without a begin, it
// begins now; without a frequency, it keeps the previous one.
var updateRotationStatus = command(spec[RotationStatusRequest, EmptyReply]{
	Name: "UpdateRotationStatus", Rate: 20,
	Check: func(q *RotationStatusRequest) error {
		err := ssm.CheckName(q.SecretName)
		if err == nil && q.Frequency != nil {
			err = ssm.CheckFrequency("Frequency", *q.Frequency)
		}
		if err == nil && q.RotationBeginTime != "" {
			_, err = ssm.ParseTime("RotationBeginTime", q.RotationBeginTime)
		}
		return err
	},
	Do: func(c *Call, q *RotationStatusRequest) (*EmptyReply, error) {
		operation := ssm.RotationOff
		if q.EnableRotation {
			operation = ssm.RotationOn
		}
		_, err := c.change(operation, q.SecretName, func(s *ssm.Secret) {
			r := &s.Rotation
			begin := r.Begin
			if q.EnableRotation {
				begin = ssm.FormatTime(c.Now.UnixNano())
			}
			r.Enabled, r.Begin = q.EnableRotation, cmp.Or(q.RotationBeginTime, begin)
			if q.Frequency != nil {
				r.Frequency = *q.Frequency
			}
			r.Schedule(c.Now)
		})
		if err != nil {
			return nil, err
		}
		return &EmptyReply{}, nil
	},
})

// RotationDetailReply is the answer of DescribeRotationDetail. Times are
// YYYY-MM-DD hh:mm:ss in UTC+8, "" for none.
type RotationDetailReply struct {
	EnableRotation      bool
	Frequency           int64 // days
	LatestRotateTime    string
	NextRotateBeginTime string
}

// 1078/41517.
var describeRotationDetail = query(spec[RotationRequest, RotationDetailReply]{
	Name: "DescribeRotationDetail", Rate: 20,
	Check: checkRotationRequest,
	Do: func(c *Call, q *RotationRequest) (*RotationDetailReply, error) {
		s, err := c.find(ssm.RotationDetail, q.SecretName)
		if err != nil {
			return nil, err
		}
		r := s.Rotation
		return &RotationDetailReply{r.Enabled, r.Frequency, ssm.FormatTime(r.LastAt), r.Next()}, nil
	},
})

// RotationHistoryReply is the answer of DescribeRotationHistory.
type RotationHistoryReply struct {
	VersionIDs      []string // newest first, without SSM_Current
	TotalCount      int64
	AccountInfoList []AccountInfo
}

// 1078/41516, 1140/58263.
var describeRotationHistory = query(spec[RotationRequest, RotationHistoryReply]{
	Name: "DescribeRotationHistory", Rate: 20,
	Check: checkRotationRequest,
	Do: func(c *Call, q *RotationRequest) (*RotationHistoryReply, error) {
		s, err := c.find(ssm.RotationHistory, q.SecretName)
		if err != nil {
			return nil, err
		}
		ids := c.history(s)
		return &RotationHistoryReply{ids, int64(len(ids)), accountInfos(s)}, nil
	},
})

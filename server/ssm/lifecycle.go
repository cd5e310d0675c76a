package ssm

import (
	"fmt"
	"strings"

	"ssmlocal/server/apierr"
)

// An Operation says for which types and statuses of the secret an action is
// allowed.
type Operation struct {
	Action  string
	types   [types]*apierr.Kind
	refused [statuses]*apierr.Kind
}

// Shorthands for the cells of the table; ok is an allowed cell.
var (
	ok *apierr.Kind

	fails    = apierr.WrongStatus
	exists   = apierr.SecretExists
	uninit   = apierr.ResourceUninitialized
	disabled = apierr.ResourceDisabled
	pending  = apierr.ResourcePendingDeleted

	forbidden = apierr.RotationForbidden

	notType = apierr.WrongSecretType
	rotated = apierr.AutoRotated
	denied  = apierr.DeniedForType
)

// The operations. Each row first says what a secret's type decides, in every
// status, and then what its status decides.
//
// Why a wrong status is FailedOperation: the first published error lists gave
// it to exactly the actions with a condition on the status, and
// ResourceUnavailable.* to GetSecretValue alone. Putting or updating a value
// that the service rotates is denied in every status (1078/38645). Cells that
// nobody can reach say FailedOperation.
var (
	//                                        custom product  ssh      api key  redis
	anyType   = [types]*apierr.Kind{Custom: ok, Product: ok, SSHKeyPair: ok, AccessKey: ok, Redis: ok}
	notSSH    = [types]*apierr.Kind{Custom: ok, Product: ok, SSHKeyPair: notType, AccessKey: ok, Redis: ok}
	byHand    = [types]*apierr.Kind{Custom: ok, Product: rotated, SSHKeyPair: notType, AccessKey: rotated, Redis: rotated}
	customers = [types]*apierr.Kind{Custom: ok, Product: notType, SSHKeyPair: notType, AccessKey: notType, Redis: notType}
	products  = [types]*apierr.Kind{Custom: denied, Product: ok, SSHKeyPair: denied, AccessKey: denied, Redis: denied}
	rotatable = [types]*apierr.Kind{Custom: denied, Product: ok, SSHKeyPair: denied, AccessKey: ok, Redis: denied}
	sshKeys   = [types]*apierr.Kind{Custom: denied, Product: denied, SSHKeyPair: ok, AccessKey: denied, Redis: denied}

	//                                                                              Creating Enabled Disabled Pending  Failed
	Create            = &Operation{"CreateSecret", anyType, [statuses]*apierr.Kind{exists, exists, exists, exists, exists}}
	Describe          = &Operation{"DescribeSecret", anyType, [statuses]*apierr.Kind{ok, ok, ok, ok, ok}}
	List              = &Operation{"ListSecrets", anyType, [statuses]*apierr.Kind{ok, ok, ok, ok, ok}}
	ListVersions      = &Operation{"ListSecretVersionIds", anyType, [statuses]*apierr.Kind{ok, ok, ok, ok, ok}}
	GetValue          = &Operation{"GetSecretValue", notSSH, [statuses]*apierr.Kind{uninit, ok, disabled, pending, uninit}}
	PutValue          = &Operation{"PutSecretValue", byHand, [statuses]*apierr.Kind{fails, ok, ok, fails, fails}}
	UpdateValue       = &Operation{"UpdateSecret", byHand, [statuses]*apierr.Kind{fails, ok, ok, fails, fails}}
	DeleteVersion     = &Operation{"DeleteSecretVersion", customers, [statuses]*apierr.Kind{fails, ok, ok, ok, fails}}
	UpdateDescription = &Operation{"UpdateDescription", anyType, [statuses]*apierr.Kind{fails, ok, ok, fails, fails}}
	Enable            = &Operation{"EnableSecret", anyType, [statuses]*apierr.Kind{uninit, ok, ok, fails, uninit}}
	Disable           = &Operation{"DisableSecret", anyType, [statuses]*apierr.Kind{uninit, ok, ok, fails, uninit}}
	Delete            = &Operation{"DeleteSecret", anyType, [statuses]*apierr.Kind{uninit, fails, ok, fails, ok}}
	Restore           = &Operation{"RestoreSecret", anyType, [statuses]*apierr.Kind{fails, fails, fails, ok, fails}}
	CreateProduct     = &Operation{"CreateProductSecret", anyType, Create.refused}
	CreateSSHKey      = &Operation{"CreateSSHKeyPairSecret", anyType, Create.refused}
	GetSSHKey         = &Operation{"GetSSHKeyPairValue", sshKeys, [statuses]*apierr.Kind{fails, ok, ok, fails, fails}}
	Rotate            = &Operation{"RotateProductSecret", rotatable, [statuses]*apierr.Kind{uninit, ok, disabled, pending, uninit}}
	RotationOn        = &Operation{"UpdateRotationStatus, on", products, [statuses]*apierr.Kind{uninit, ok, forbidden, forbidden, uninit}}
	RotationOff       = &Operation{"UpdateRotationStatus, off", products, [statuses]*apierr.Kind{uninit, ok, ok, forbidden, uninit}}
	RotationDetail    = &Operation{"DescribeRotationDetail", products, Describe.refused}
	RotationHistory   = &Operation{"DescribeRotationHistory", products, Describe.refused}
)

// Operations returns every row of the table.
func Operations() []*Operation {
	return []*Operation{
		Create, Describe, List, ListVersions, GetValue, PutValue, UpdateValue, DeleteVersion, UpdateDescription,
		Enable, Disable, Delete, Restore, CreateProduct, CreateSSHKey, GetSSHKey, Rotate, RotationOn, RotationOff,
		RotationDetail, RotationHistory,
	}
}

// Refuse returns why the secret's type or status forbids the operation, or nil.
func (v *Operation) Refuse(s *Secret) error {
	if k := v.ForType(s.Type); k != nil {
		return k.With(s.Name, s.Type)
	}
	if k := v.InStatus(s.Status()); k != nil {
		return k.With(s.Name, s.Status())
	}
	return nil
}

// ForType returns the refusal that the type decides, nil where the type allows
// the operation.
func (v *Operation) ForType(t Type) *apierr.Kind { return v.types[t] }

// InStatus returns the refusal that the status decides, nil where the status
// allows the operation.
func (v *Operation) InStatus(s Status) *apierr.Kind { return v.refused[s] }

// Lifecycle prints the table: for each operation and status what happens, then
// the types that the operation is refused for.
func Lifecycle() string {
	var b strings.Builder
	b.WriteString("| Action |")
	for _, s := range Statuses() {
		b.WriteString(" " + s.String() + " |")
	}
	b.WriteString(" in every status, for the types |\n|---|" + strings.Repeat("---|", len(Statuses())+1) + "\n")
	for _, v := range Operations() {
		b.WriteString("| " + v.Action + " |")
		for _, s := range Statuses() {
			b.WriteString(" " + cell(v.InStatus(s)) + " |")
		}
		var refused []string
		for _, t := range Types() {
			if k := v.ForType(t); k != nil {
				refused = append(refused, fmt.Sprintf("%d: %s", uint64(t), k.Code))
			}
		}
		b.WriteString(" " + strings.Join(refused, "<br>") + " |\n")
	}
	return b.String()
}

func cell(k *apierr.Kind) string {
	if k == nil {
		return "ok"
	}
	return k.Code
}

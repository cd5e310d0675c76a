package control

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"ssmlocal/server/account"
	"ssmlocal/server/apierr"
	"ssmlocal/server/seed"
	"ssmlocal/server/ssm"
)

// The control plane's calls about accounts: what they have bought, their KMS
// keys, their users.

// AccountReply is the data of an account besides its secrets.
type AccountReply struct {
	Uin         uint64              `json:"uin"`
	Service     string              `json:"service,omitempty"` // normal, none, arrears or released
	Postpaid    bool                `json:"postpaid"`
	Order       *OrderInfo          `json:"order,omitempty"` // by which CreateService has enabled it
	SecretLimit uint64              `json:"secretLimit"`     // 0 for the server's own
	KmsKeys     map[string]string   `json:"kmsKeys"`         // disabled or foreign
	Users       map[uint64]UserInfo `json:"users"`
	Isolated    []string            `json:"isolated"` // instances whose secrets can't be rotated
}

// OrderInfo is what CreateService has ordered.
type OrderInfo struct {
	ClientToken string `json:"clientToken"`
	OrderID     string `json:"orderId"`
}

// UserInfo is the data of a sub-account.
type UserInfo struct {
	OtherKeys int `json:"otherKeys"` // access keys that no secret holds
}

func (c *Control) allAccounts() ([]AccountReply, error) {
	data := c.backend.Accounts()
	all := []AccountReply{}
	for _, uin := range slices.Sorted(maps.Keys(data)) {
		all = append(all, describeAccount(uin, data[uin]))
	}
	return all, nil
}

func describeAccount(uin uint64, a ssm.AccountData) AccountReply {
	reply := AccountReply{
		Uin: uin, Service: a.Service.String(), Postpaid: a.Postpaid, SecretLimit: a.SecretLimit,
		KmsKeys: map[string]string{}, Users: map[uint64]UserInfo{}, Isolated: a.Isolated,
	}
	if !a.Order.IsZero() {
		reply.Order = &OrderInfo{a.Order.ClientToken, a.Order.ID}
	}
	for id, state := range a.KmsKeys {
		reply.KmsKeys[id] = state.String()
	}
	for uin, user := range a.Users {
		reply.Users[uin] = UserInfo(user)
	}
	return reply
}

// setAccount replaces the data of one account.
func (c *Control) setAccount(q *AccountReply) (AccountReply, error) {
	if q.Uin == 0 || q.Uin > seed.LargestUin {
		return AccountReply{}, refuse(http.StatusBadRequest, "uin is missing, or more than %d; the default account is %d", uint64(seed.LargestUin), account.DefaultUin)
	}
	service, err := ssm.ParseServiceState(q.Service)
	if err != nil {
		return AccountReply{}, refuse(http.StatusBadRequest, "service: %v", err)
	}
	data := ssm.AccountData{
		Service: service, Postpaid: q.Postpaid, SecretLimit: q.SecretLimit,
		KmsKeys: map[string]ssm.KeyState{}, Users: map[uint64]ssm.User{}, Isolated: q.Isolated,
	}
	if q.Order != nil {
		data.Order = ssm.Order{ClientToken: q.Order.ClientToken, ID: q.Order.OrderID}
		if data.Order.Check() != nil || !ssm.IsID(data.Order.ID) {
			return AccountReply{}, refuse(http.StatusBadRequest, "order: the clientToken must have 1 to 64 characters from ! to ~, and the orderId 1 to %d bytes", ssm.MaxID)
		}
	}
	for id, name := range q.KmsKeys {
		if data.KmsKeys[id], err = ssm.ParseKeyState(name); err != nil {
			return AccountReply{}, refuse(http.StatusBadRequest, "the KMS key %s: %v", id, err)
		}
	}
	for uin, user := range q.Users {
		if user.OtherKeys < 0 || user.OtherKeys > ssm.MaxAccessKeys {
			return AccountReply{}, refuse(http.StatusBadRequest, "otherKeys of %d is %d; it must be 0 to %d", uin, user.OtherKeys, ssm.MaxAccessKeys)
		}
		if uin == 0 || uin > seed.LargestUin || uin == q.Uin {
			return AccountReply{}, refuse(http.StatusBadRequest, "users: %d is not the Uin of a sub-account", uin)
		}
		data.Users[uin] = ssm.User(user)
	}
	if err := data.Check(); err != nil {
		return AccountReply{}, refuse(http.StatusBadRequest, "%v", err)
	}
	if err := c.backend.SetAccount(q.Uin, data); err != nil {
		return AccountReply{}, err
	}
	return describeAccount(q.Uin, data), nil
}

type accessKeySecretRequest struct {
	Uin        uint64 `json:"uin"`
	Region     string `json:"region"`
	SecretName string `json:"secretName"`
	TargetUin  uint64 `json:"targetUin"`
}

// newAccessKeySecret makes a secret of the type API key. Fields that are
// missing get defaults.
func (c *Control) newAccessKeySecret(r *http.Request, q *accessKeySecretRequest) (*accessKeySecretRequest, error) {
	q.Uin, q.Region = cmp.Or(q.Uin, account.DefaultUin), cmp.Or(q.Region, ssm.DefaultRegion)
	if _, offers := ssm.FindRegion(q.Region); !offers {
		return nil, refuse(http.StatusBadRequest, "region is %q; it must be one of %s", q.Region, strings.Join(ssm.Regions(), ", "))
	}
	if q.Uin > seed.LargestUin || q.TargetUin > seed.LargestUin {
		return nil, refuse(http.StatusBadRequest, "uin and targetUin can be %d at most", uint64(seed.LargestUin))
	}
	err := c.backend.NewAccessKeySecret(r.Context(), q.Uin, q.Region, q.SecretName, q.TargetUin)
	var failure *apierr.Error
	if errors.As(err, &failure) {
		return nil, refuse(http.StatusBadRequest, "%v", failure)
	}
	return q, err
}

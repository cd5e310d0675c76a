package action

import (
	"fmt"
	"time"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
)

// The service itself: its status, its regions, its products.

// NoRequest is for actions without parameters.
type NoRequest struct{}

// CreateServiceRequest has the parameters of CreateService.
type CreateServiceRequest struct {
	PayMode     string `tc3:"required"`
	ClientToken string `tc3:"required"`
}

// CreateServiceReply is the answer of CreateService.
type CreateServiceReply struct{ ResourceId, OrderId string }

// 140/140016. What a second order answers, and that a token is remembered, is
// this emulator's choice.
var createService = command(spec[CreateServiceRequest, CreateServiceReply]{
	Name: "CreateService", Rate: 20, Unpaid: true, ChangesAccount: true,
	Check: func(q *CreateServiceRequest) error {
		if q.PayMode != "PostPay" {
			return apierr.InvalidParameterValue.With("PayMode")
		}
		return ssm.Order{ClientToken: q.ClientToken}.Check()
	},
	Do: func(c *Call, q *CreateServiceRequest) (*CreateServiceReply, error) {
		before := c.Account.Order
		order, err := c.Account.Enable(ssm.Order{
			ClientToken: q.ClientToken, ID: c.Now.In(ssm.Zone).Format("20060102") + c.random("0123456789", 15),
		})
		if err != nil {
			return nil, err
		}
		reply := &CreateServiceReply{ResourceId: resourceOf(c.Owner), OrderId: order.ID}
		if order == before { // a retry
			return reply, nil
		}
		return reply, c.putAccount()
	},
})

// resourceOf is the postpaid service of an account as a resource, such as
// ssm_1250000000.
func resourceOf(o ssm.Owner) string { return fmt.Sprintf("ssm_%d", o.AppID) }

// ServiceStatusReply is the answer of GetServiceStatus.
type ServiceStatusReply struct {
	ServiceEnabled         bool
	InvalidType            int64 // 0 not bought, 1 normal, 2 in arrears, 3 released
	AccessKeyEscrowEnabled bool
	ExpireTime             string // YYYY-MM-DD hh:mm:ss, UTC+8
	QPSLimit               int64
	SecretLimit            int64
	PayModel               string // Prepaid_SSM or Postpaid_SSM
	RenewFlag              int64  // 0 by hand, 1 by itself, 2 not at all
	ResourceId             string
	TotalCount             int64 // secrets held in the region
	ResourceRegion         int64 // the region's number
}

// 1078/38648, 1140/40521. An account that has bought the service has it until
// the end of the next year.
var getServiceStatus = query(spec[NoRequest, ServiceStatusReply]{
	Name: "GetServiceStatus", Rate: 50, Unpaid: true,
	Do: func(c *Call, _ *NoRequest) (*ServiceStatusReply, error) {
		expires := time.Date(c.Now.Year()+1, time.December, 31, 23, 59, 59, 0, ssm.Zone)
		reply := &ServiceStatusReply{
			ServiceEnabled: c.Account.Service == ssm.Bought, InvalidType: c.Account.Service.InvalidType(),
			ExpireTime: expires.Format(time.DateTime), QPSLimit: 500, SecretLimit: int64(c.SecretLimit), PayModel: "Prepaid_SSM",
			RenewFlag: 1, ResourceId: fmt.Sprintf("SSM-Prepaid-%08x", uint32(c.Owner.AppID)),
			TotalCount: int64(c.held()), ResourceRegion: ssm.RegionNumber(c.Owner.Region),
		}
		if c.Account.Postpaid {
			// The official example of a postpaid service has no limits
			// (1140/40521).
			reply.PayModel, reply.ResourceId, reply.RenewFlag = "Postpaid_SSM", resourceOf(c.Owner), 0
			reply.QPSLimit, reply.SecretLimit = 0, 0
		}
		return reply, nil
	},
})

// RegionsReply is the answer of GetRegions.
type RegionsReply struct{ Regions []string }

// 1078/38650, 1140/40523.
var getRegions = query(spec[NoRequest, RegionsReply]{
	Name: "GetRegions", Rate: 100, Unpaid: true,
	Do: func(*Call, *NoRequest) (*RegionsReply, error) { return &RegionsReply{ssm.Regions()}, nil },
})

// DryRunRequest is for actions whose only parameter is DryRun.
type DryRunRequest struct{ DryRunnable }

// ProductsReply is the answer of DescribeSupportedProducts.
type ProductsReply struct {
	Products   []string
	TotalCount int64
}

// The products are those of the newest official sample (1140,
// DescribeSupportedProducts).
var describeSupportedProducts = query(spec[DryRunRequest, ProductsReply]{
	Name: "DescribeSupportedProducts", Rate: 20,
	Do: func(*Call, *DryRunRequest) (*ProductsReply, error) {
		products := ssm.Products()
		return &ProductsReply{products, int64(len(products))}, nil
	},
})

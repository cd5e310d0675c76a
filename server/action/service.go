package action

import (
	"fmt"
	"time"

	"ssmlocal/server/ssm"
)

// The service itself: its status, its regions, its products.

// NoRequest is for actions without parameters.
type NoRequest struct{}

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

// 1078/38648, 1140/40521. Every account has bought the service for as long as it is asked.
var getServiceStatus = query(spec[NoRequest, ServiceStatusReply]{
	Name: "GetServiceStatus", Rate: 50,
	Do: func(c *Call, _ *NoRequest) (*ServiceStatusReply, error) {
		expires := time.Date(c.Now.Year()+1, time.December, 31, 23, 59, 59, 0, ssm.Zone)
		return &ServiceStatusReply{
			ServiceEnabled: true, InvalidType: 1, ExpireTime: expires.Format(time.DateTime),
			QPSLimit: 500, SecretLimit: int64(c.SecretLimit), PayModel: "Prepaid_SSM", RenewFlag: 1,
			ResourceId: fmt.Sprintf("SSM-Prepaid-%08x", uint32(c.Owner.AppID)),
			TotalCount: int64(c.held()), ResourceRegion: ssm.RegionNumber(c.Owner.Region),
		}, nil
	},
})

// RegionsReply is the answer of GetRegions.
type RegionsReply struct{ Regions []string }

// 1078/38650, 1140/40523.
var getRegions = query(spec[NoRequest, RegionsReply]{
	Name: "GetRegions", Rate: 100,
	Do: func(*Call, *NoRequest) (*RegionsReply, error) { return &RegionsReply{ssm.Regions()}, nil },
})

// DryRunRequest is for actions whose only parameter is DryRun.
type DryRunRequest struct{ DryRunnable }

// ProductsReply is the answer of DescribeSupportedProducts.
type ProductsReply struct {
	Products   []string
	TotalCount int64
}

// The products are those of the newest official sample (1140, DescribeSupportedProducts).
var describeSupportedProducts = query(spec[DryRunRequest, ProductsReply]{
	Name: "DescribeSupportedProducts", Rate: 20,
	Do: func(*Call, *DryRunRequest) (*ProductsReply, error) {
		products := ssm.Products()
		return &ProductsReply{products, int64(len(products))}, nil
	},
})

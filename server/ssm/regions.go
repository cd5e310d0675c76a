package ssm

import "time"

// Zone is the time zone of all times that the API writes as text: UTC+8 without
// daylight saving. Two official examples of a next rotation come out right in
// this zone only.
var Zone = time.FixedZone("UTC+8", 8*3600)

// region is a region of the cloud. Its name and number are those that the
// official SDKs and the CVM API use.
type region struct {
	name   string
	number int64
	offers bool // Secrets Manager is offered there
}

// regions has the cloud's regions in the order of GetRegions. The international
// documentation of GetRegions lists seven that have Secrets Manager, other
// pages more; every region that exists can be called, except the two that are
// closed to the public.
var regions = []region{
	{"ap-guangzhou", 1, true}, {"ap-shanghai", 4, true}, {"ap-beijing", 8, true}, {"ap-chengdu", 16, true},
	{"ap-chongqing", 19, true}, {"ap-nanjing", 33, true}, {"ap-hongkong", 5, true}, {"ap-singapore", 9, true},
	{"ap-jakarta", 72, true}, {"ap-tokyo", 25, true}, {"ap-seoul", 18, true}, {"ap-bangkok", 23, true},
	{"ap-mumbai", 21, true}, {"ap-shanghai-fsi", 7, true}, {"ap-shenzhen-fsi", 11, true}, {"eu-frankfurt", 17, true},
	{"na-ashburn", 22, true}, {"na-siliconvalley", 15, true}, {"na-toronto", 6, true}, {"sa-saopaulo", 74, true},
	{"ap-guangzhou-open", 12, false}, {"eu-moscow", 24, false},
}

// DefaultRegion is the region of a call that names none. The documentation of
// the Chinese site requires one, that of the international site did not until
// 2026.
const DefaultRegion = "ap-guangzhou"

// Regions returns the regions that offer Secrets Manager.
func Regions() []string {
	var names []string
	for _, r := range regions {
		if r.offers {
			names = append(names, r.name)
		}
	}
	return names
}

// FindRegion returns the name of a region that the cloud has, "" for none, and
// whether Secrets Manager is offered there.
func FindRegion(name string) (found string, offers bool) {
	for _, r := range regions {
		if r.name == name {
			return r.name, r.offers
		}
	}
	return "", false
}

// RegionNumber returns a region's number, 0 for one that does not exist.
func RegionNumber(name string) int64 {
	for _, r := range regions {
		if r.name == name {
			return r.number
		}
	}
	return 0
}

// Products returns what DescribeSupportedProducts lists: the products whose
// credentials the service can hold.
func Products() []string {
	return []string{"Mysql", "Tdsql-mysql", "Tdsql_C_Mysql", "Cvm", "Cam", "Redis"}
}

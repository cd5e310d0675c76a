package apierr

import "slices"

// Errors that are provoked on demand (package fault) need a text for a code
// alone, without the details of a case. These are the texts of the codes whose
// kinds above all have details, and of the codes that nothing else causes here.

// What Secrets Manager itself can answer; after the vendor's one-line meanings
// (the SDKs' errors of ssm v20190923).
var _ = []*Kind{
	general("AuthFailure", "The request could not be authenticated.", "CAM签名/鉴权错误。"),
	general("InvalidParameter", "A parameter is not valid.", "参数错误。"),
	general("MissingParameter", "A required parameter is missing.", "缺少参数。"),
	general("ResourceInUse.TagKeyAttached", "The tag key is attached to the resource already.", "标签键已关联该资源。"),
	general("ResourceNotFound.AttachedTagKeyNotFound", "The tag key is not attached to the resource.", "标签键未关联该资源。"),
	general("ResourceInUse", "The resource is in use.", "资源被占用。"),
	general("ResourceInsufficient", "There are not enough resources.", "资源不足。"),
	general("ResourceUnavailable", "The resource is not available.", "资源不可用。"),
	general("ResourcesSoldOut", "The resource is sold out.", "资源售罄。"),
	general("UnknownParameter", "A parameter is not recognized.", "未知参数错误。"),
	general("UnsupportedOperation", "The operation is not supported.", "操作不支持。"),
}

// What the gateway can answer to a call of any action. S, all of them: only the
// codes' descriptions are public.
var _ = []*Kind{
	general("ActionOffline", "This API has been deprecated.", "接口已下线。"),
	general("AuthFailure.InvalidAuthorization", "The request `Authorization` header does not conform to tencentcloud standards.", "请求头部的 `Authorization` 不符合腾讯云标准。"),
	general("AuthFailure.InvalidSecretId", "Invalid key (not a TencentCloud API key type).", "密钥非法（不是云API密钥类型）。"),
	general("AuthFailure.MFAFailure", "MFA failed.", "MFA错误。"),
	general("InvalidAction", "The request `Action` is invalid or not found.", "请求的 `Action` 无效或不存在。"),
	general("IpInBlacklist", "Your IP is in uin IP blacklist.", "IP地址在黑名单中。"),
	general("IpNotInWhitelist", "Your IP is not in uin IP whitelist.", "IP地址不在白名单中。"),
	general("NoSuchVersion", "The API version does not exist.", "接口版本不存在。"),
	general("RequestLimitExceeded", "Your current request times in a second exceeds the frequency limit. Please reduce the frequency of calls.", "您当前每秒请求次数超过了频率上限，请稍后重试。"), // D
	general("RequestLimitExceeded.GlobalRegionUinLimitExceeded", "Uin exceeds the frequency limit.", "主账号超过频率限制。"),
	general("RequestLimitExceeded.IPLimitExceeded", "The number of ip requests exceeds the frequency limit.", "IP限频。"),
	general("RequestLimitExceeded.UinLimitExceeded", "The number of uin requests exceeds the frequency limit.", "主账号限频。"),
	general("ResponseSizeLimitExceeded", "The response size exceeds the upper limit.", "返回包超过限制大小。"),
	general("ServiceUnavailable", "Service is unavailable now.", "当前服务暂时不可用。"),
}

// What the other services can answer that are here in part.
var _ = []*Kind{
	general("InvalidParameter.OverTimeError", "The duration is not valid.", "有效期取值错误。"),
	general("InvalidParameter.StrategyFormatError", "The policy is not valid.", "策略格式错误。"),
	general("InvalidParameterValue.ResourceDescriptionError", "The resource is not valid.", "资源描述错误。"),
	general("ResourceNotFound.RoleNotFound", "The role does not exist.", "角色不存在。"),
}

// general declares a kind that stands for a whole code.
func general(code, en, zh string) *Kind {
	k := kind(code, 0, en, zh)
	k.general = true
	return k
}

// Provoked returns an error for a code without any details. Its text is the
// code's general one or, if the code has only one case, that of the case. ok is
// false for a code that is not known.
func Provoked(code string) (e *Error, ok bool) {
	var found *Kind
	for _, k := range all {
		if k.Code == code && k.details == 0 && (found == nil || !found.general) {
			found = k
		}
	}
	if found == nil {
		return nil, false
	}
	return found.With(), true
}

// Custom returns an error with a code and a text that somebody else chose. The
// text is the same in both languages.
func Custom(code, text string) *Error {
	return (&Kind{Code: code, en: text, zh: text}).With()
}

// Codes returns every code, sorted.
func Codes() (codes []string) {
	for _, k := range all {
		codes = append(codes, k.Code)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

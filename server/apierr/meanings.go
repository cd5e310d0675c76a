package apierr

import (
	"maps"
	"slices"
)

// A meaning is what the vendor says of a code in one sentence, in English and
// Chinese.
type meaning struct{ en, zh string }

// meanings are those that the vendor's SDKs have for the errors of ssm
// v20190923: the English of the international one, the Chinese of the domestic
// one. "" is one that is not public.
var meanings = map[string]meaning{
	"ResourceInUse.SecretExists":                 {"The Secret name already exists.", "凭据名已存在。"},
	"ResourceInUse.VersionIdExists":              {"The Version ID already exists.", "版本号已存在。"},
	"ResourceInUse.ServiceAlreadyEnabled":        {"", "服务已经被开通。"},
	"ResourceNotFound":                           {"The resource does not exist.", "资源不存在。"},
	"ResourceNotFound.SecretNotExist":            {"The secret does not exist.", "凭据不存在。"},
	"ResourceUnavailable.ResourceDisabled":       {"The Secret is disabled.", "凭据被禁用。"},
	"ResourceUnavailable.ResourcePendingDeleted": {"The Secret is in `PendingDelete` status.", "凭据处于计划删除状态。"},
	"ResourceUnavailable.ResourceUninitialized":  {"The credential has not been initialized.", "凭据未完成初始化。"},
	"ResourceUnavailable.NotPurchased":           {"The service is not purchased.", "服务未购买。"},
	"FailedOperation":                            {"Operation failed.", "操作失败。"},
	"FailedOperation.AccessKmsError":             {"KMS operation failed.", "KMS操作失败。"},
	"FailedOperation.RotationForbidden":          {"The rotation is prohibited.", "凭据被禁止轮转。"},
	"OperationDenied":                            {"Operation denied.", "操作被拒绝。"},
	"OperationDenied.AccessKeyOverLimit":         {"Reached the upper limit of access keys.", "AccessKey已经达到上限。"},
	"OperationDenied.AutoRotatedResource":        {"It is not allowed to manually update credentials with automatic rotation enabled.", "不允许手动更新具有自动轮换功能的凭据。"},
	"OperationDenied.RoleNotExist":               {"The role does not exist.", "角色不存在。"},
	"OperationDenied.UinNotMatch":                {"The secret is not owned by the current account.", "被操作密钥与账号不匹配。"},
	"InvalidParameterValue":                      {"The parameter value is invalid.", "参数取值错误。"},
	"InvalidParameterValue.TagKeysDuplicated":    {"The tag keys are duplicated.", "标签键重复。"},
	"InvalidParameterValue.TagsNotExisted":       {"The tag key or tag value does not exist.", "标签键或标签值不存在。"},
	"LimitExceeded":                              {"The quota limit is exceeded.", "超过配额限制。"},
	"UnauthorizedOperation.AccessKmsError":       {"Failed to access KMS.", "访问KMS失败。"},
}

// refused declares a kind of Secrets Manager's own. On the wire its texts begin
// with the vendor's meaning of the code; the rest is this emulator's.
func refused(code string, details int, en, zh string) *Kind {
	k := kind(code, details, en, zh)
	k.meaning = meanings[code]
	return k
}

// The meanings alone, for errors that are provoked.
var _ = func() (all []*Kind) {
	for _, code := range slices.Sorted(maps.Keys(meanings)) {
		if m := meanings[code]; m.en != "" {
			all = append(all, general(code, m.en, m.zh))
		}
	}
	return all
}()

package apierr

// What the gateway refuses before a product sees the call, in the order of its
// checks.

// The request itself.
var (
	UnsupportedProtocol = kind("UnsupportedProtocol", 0, // S, from the code's description
		"HTTP(S) request protocol error; only GET and POST requests are supported.",
		"http(s)请求协议错误，只支持GET和POST请求。")
	RequestTooLarge = kind("RequestSizeLimitExceeded", 0, // S
		"The request size exceeds the upper limit.",
		"请求包超过限制大小。")
	V1RequestTooLarge = kind("AuthFailure.SignatureFailure", 0, // V D
		"The provided credentials could not be validated because of exceeding request size limit, please use new signature method `TC3-HMAC-SHA256`.",
		"由于请求包大小超过限制，请求签名验证失败，请使用新的签名方法 `TC3-HMAC-SHA256`。")
	InvalidRequest = kind("InvalidRequest", 0, // S
		"The multipart format of the request body is incorrect.",
		"请求body的multipart格式错误。")
	PairWithoutEquals = kind("InvalidParameter", 0, // V D
		"Url key and value should be splited by `=`.",
		"参数错误，请求URL中参数key和value必须以 `=` 分隔。")
	EmptyKey = kind("InvalidParameter", 0, // D
		"The request has a parameter key which is empty string.",
		"参数错误，请求参数key不能为空字符串。")
	RepeatedParameter = kind("InvalidParameter", 1, // D
		"Parameter `%s` input repeated.",
		"参数 `%s` 重复输入。")
	BadFormat = kind("InvalidParameter", 1, // D
		"Parameter `%s` format invalid.",
		"参数 `%s` 格式非法。")
)

// The common parameters.
var (
	MissingHeader = kind("MissingParameter", 1, // V, ZH D
		"The request header is missing a required common parameter `%s`.",
		"请求头部缺少必传的公共参数 `%s`。")
	MissingParameter = kind("MissingParameter", 1, // V, ZH D
		"The request is missing a required parameter `%s`.",
		"请求缺少必传参数 `%s`。")
	CommonValue = kind("InvalidParameterValue", 1, // V, ZH D
		"A value specified in `%s` is not valid, is unsupported, or cannot be used.",
		"参数 `%s` 取值错误。")
	CommonType = kind("InvalidParameter", 1, // V for Nonce
		"Parameter `%s` type error.",
		"参数 `%s` 类型错误。")
	NoSuchProduct = kind("NoSuchProduct", 0, // S
		"The product does not exist.",
		"产品不存在。")
	NoSuchVersion = kind("NoSuchVersion", 2, // V, ZH S
		"The specified api version=`%s` does not exist in service=`%s`.",
		"指定的接口版本 version=`%s` 在产品 service=`%s` 中不存在。")
	InvalidAction = kind("InvalidAction", 3, // V, ZH S
		"The request action=`%s` is invalid or not found in service=`%s` and version=`%s`.",
		"请求的接口 action=`%s` 无效，或在 service=`%s` 和 version=`%s` 中不存在。")
)

// Who calls.
var (
	InvalidAuthorization = kind("AuthFailure.InvalidAuthorization", 1, // V for Service, ZH S
		"The request `Authorization` header does not conform to tencentcloud standards: %s not valid.",
		"请求头部的 `Authorization` 不符合腾讯云标准：%s 不正确。")
	SignatureExpire = kind("AuthFailure.SignatureExpire", 0, // V, ZH S
		"The signature is expired, please request again.",
		"签名已过期，请重新请求。")
	SecretIDNotFound = kind("AuthFailure.SecretIdNotFound", 0, // V, ZH D
		"The SecretId is not found, please ensure that your SecretId is correct.",
		"SecretId不存在，请输入正确的密钥。")
	TokenFailure = kind("AuthFailure.TokenFailure", 0, // S
		"Token verification failed, please check if your Token is correct.",
		"Token校验失败，请检查您的Token是否正确。")
	ContentHash = kind("InvalidParameterValue", 1, // D
		"The value specified in `%s` is not correct.",
		"参数 `%s` 计算值不正确。")
	SignatureFailure = kind("AuthFailure.SignatureFailure", 0, // V
		"The provided credentials could not be validated. Please check your signature is correct.",
		"请求签名验证失败，请检查您的签名计算是否正确。")
)

// What the caller may do. A call's RequestId, the operation
// (ssm:GetSecretValue) and the resource go into the texts: that of the product,
// which a policy causes here, and that of the gateway, which is only provoked.
var (
	Unauthorized = kind("UnauthorizedOperation", 3, // V for another product; the Chinese gateway sends it in English too
		"[request id:%s]you are not authorized to perform operation (%s)\nresource (%s) has no permission\n",
		"[request id:%s]you are not authorized to perform operation (%s)\nresource (%s) has no permission\n")
	GatewayUnauthorized = kind("AuthFailure.UnauthorizedOperation", 3, // V, except the end, which is cut off in the source
		"You are not authorized to perform this operation. Check your CAM policies, and ensure that you are using the correct access keys. [[request id:%s]you are not authorized to perform operation (%s)\nresource (%s) has no permission\n]",
		"操作未授权，请检查CAM策略。[[request id:%s]you are not authorized to perform operation (%s)\nresource (%s) has no permission\n]")
)

// How often, and where.
var (
	UnsupportedRegion = kind("UnsupportedRegion", 0, // V
		"The action not support this region.",
		"该接口不支持此地域访问。")
	RequestLimitExceeded = kind("RequestLimitExceeded", 2, // V
		"Your current request times equals to `%d` in a second, which exceeds the frequency limit `%d` for a second. Please reduce the frequency of calls.",
		"您当前每秒请求 `%d` 次，超过了每秒频率上限 `%d`，请稍后重试。")
)

// The action's parameters. A nested one is named by its path, such as
// Tags.0.TagKey.
var (
	BadJSON = kind("InvalidParameter", 0, // V D
		"The request content not valid json format for specified content-type=application/json.",
		"对于指定content-type=application/json协议下，请求内容不是合法的Json格式。")
	TooManyPairs = kind("InvalidParameter", 1, // S
		"The request has more than `%d` parameters, or one that is nested too deeply.",
		"请求参数超过 `%d` 个，或参数嵌套过深。")
	TooManyItems = kind("InvalidParameterValue", 2, // S
		"The parameter `%s` has more than `%d` items.",
		"参数 `%s` 的元素超过 `%d` 个。")
	BadArray = kind("InvalidParameter", 1, // D
		"Parameter `%s` invalid array format, array index must be continuous and starts with 0.",
		"参数 `%s` 是非法是数组格式，数组下标必须是连续的而且从0下标开始。")
	UnknownParameter = kind("UnknownParameter", 1, // V
		"The parameter `%s` is not recognized.",
		"未定义参数 `%s` 。")
	WrongType = kind("InvalidParameter", 1, // V; newer gateways add the expected type
		"The value type of parameter `%s` is not valid.",
		"参数 `%s` 取值类型错误。")
)

// Anything.
var (
	InternalError = kind("InternalError", 0, // V
		"An internal error has occurred. Retry your request, but if the problem persists, contact us.",
		"内部服务错误，请稍后重试。")
	DryRunOperation = kind("DryRunOperation", 0, // S
		"DryRun Operation. It means that the request would have succeeded, but the DryRun parameter was used.",
		"DryRun操作，代表请求将会是成功的，只是多传了DryRun参数。")
)

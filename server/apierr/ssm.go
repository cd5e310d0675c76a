package apierr

// What Secrets Manager itself refuses. Codes: the vendor's list for each
// action; texts: this emulator's own.

// The secret or its version does not exist, or exists already.
var (
	SecretNotFound = refused("ResourceNotFound", 1,
		"The secret `%s` does not exist in this region.",
		"凭据 `%s` 在该地域不存在。")
	VersionNotFound = refused("ResourceNotFound", 2,
		"The version `%s` of the secret `%s` does not exist.",
		"版本 `%s` 在凭据 `%s` 中不存在。")
	SecretExists = refused("ResourceInUse.SecretExists", 2,
		"The secret name `%s` is taken already, by a secret whose status is %s.",
		"凭据名称 `%s` 已存在，该凭据当前状态为 %s。")
	VersionExists = refused("ResourceInUse.VersionIdExists", 2,
		"The version `%s` of the secret `%s` exists already.",
		"版本 `%s` 在凭据 `%s` 中已存在。")
)

// ServiceEnabled refuses to buy the service for an account that has it.
var ServiceEnabled = refused("ResourceInUse.ServiceAlreadyEnabled", 0,
	"The service is enabled for this account already.",
	"该账号无需重复开通。")

// The secret's status forbids it. See ssm.Lifecycle for the whole table.
var (
	WrongStatus = refused("FailedOperation", 2,
		"The secret `%s` can't do this while its status is %s.",
		"凭据 `%s` 当前状态为 %s，不支持该操作。")
	ResourceDisabled = refused("ResourceUnavailable.ResourceDisabled", 2,
		"The secret `%s` is not available: its status is %s. Enable it first.",
		"凭据 `%s` 不可用：当前状态为 %s，请先启用。")
	ResourcePendingDeleted = refused("ResourceUnavailable.ResourcePendingDeleted", 2,
		"The secret `%s` is not available: its status is %s. Restore it first.",
		"凭据 `%s` 不可用：当前状态为 %s，请先取消计划删除。")
	ResourceUninitialized = refused("ResourceUnavailable.ResourceUninitialized", 2,
		"The secret `%s` is not available: it is not initialized, its status is %s.",
		"凭据 `%s` 不可用：凭据未初始化，当前状态为 %s。")
	RotationForbidden = refused("FailedOperation.RotationForbidden", 2,
		"Rotation of the secret `%s` is forbidden while its status is %s.",
		"凭据 `%s` 当前状态为 %s，禁止轮换。")
)

// A task is still running, or there is no such task.
var (
	TaskIsRunning = refused("FailedOperation", 2,
		"The task %d of the secret `%s` is still running.",
		"任务 %d 正在执行，所属凭据为 `%s`。")
	TaskNotFound = refused("ResourceNotFound", 1,
		"There is no task with the FlowID %d.",
		"FlowID 为 %d 的任务不存在。")
	SSHKeyNotFound = refused("ResourceNotFound", 1,
		"The SSH key `%s` does not exist in this region.",
		"SSH密钥 `%s` 在该地域不存在。")
)

// The secret's type forbids it. See the table in ssm/lifecycle.go for the whole
// table.
var (
	WrongSecretType = refused("FailedOperation", 2,
		"The secret `%s` is of the type %s, which does not support this.",
		"凭据 `%s` 的类型为 %s，不支持该操作。")
	AutoRotated = refused("OperationDenied.AutoRotatedResource", 2,
		"The secret `%s` is of the type %s, whose value changes only by rotation.",
		"凭据 `%s` 的类型为 %s，凭据内容只能由轮换更新。")
	DeniedForType = refused("OperationDenied", 2,
		"The secret `%s` is of the type %s, for which this is not available.",
		"凭据 `%s` 的类型为 %s，不提供该操作。")
)

// A value breaks a rule of its parameter.
var (
	BadSecretName = refused("InvalidParameterValue", 0,
		"The value of `SecretName` is not valid: 1 to 128 letters, digits, `-` and `_`, the first one a letter or a digit.",
		"参数 `SecretName` 取值错误：长度1-128字节，由字母、数字、`-`、`_` 组成，首字符须为字母或数字。")
	BadVersionID = refused("InvalidParameterValue", 0,
		"The value of `VersionId` is not valid: 1 to 64 letters, digits, `-`, `_` and `.`, the first one a letter or a digit.",
		"参数 `VersionId` 取值错误：长度1-64字节，由字母、数字、`-`、`_`、`.` 组成，首字符须为字母或数字。")
	DescriptionTooLong = refused("InvalidParameterValue", 2,
		"The value of `Description` is %d bytes long; the limit is %d.",
		"参数 `Description` 长度为 %d 字节，超过上限 %d 字节。")
	OneValue = refused("InvalidParameterValue", 0,
		"Exactly one of `SecretString` and `SecretBinary` must have a value.",
		"`SecretString` 和 `SecretBinary` 必须且只能有一个不为空。")
	ValueTooLong = refused("InvalidParameterValue", 3,
		"The value of `%s` is %d bytes long; the limit is %d.",
		"参数 `%s` 长度为 %d 字节，超过上限 %d 字节。")
	NotEncrypted = refused("InvalidParameterValue", 1,
		"The parameter `%s` is not supported here: values are not encrypted for the caller.",
		"此处不支持参数 `%s`：返回的凭据值不会为调用方加密。")
	BadBase64 = refused("InvalidParameterValue", 1,
		"The value of `%s` is not base64.",
		"参数 `%s` 不是合法的base64编码。")
	BadChoice = refused("InvalidParameterValue", 2,
		"The value of `%s` is not valid; it must be %s.",
		"参数 `%s` 取值错误，可选值：%s。")
	BadRedisConfig = refused("InvalidParameterValue", 0,
		"The value of `AdditionalConfig` is not valid: a JSON object with InstanceId and a Privilege of `r` or `rw`.",
		"参数 `AdditionalConfig` 取值错误：应为JSON对象，包含 InstanceId，且 Privilege 为 `r` 或 `rw`。")
	BadPrefix = refused("InvalidParameterValue", 0,
		"The value of `UserNamePrefix` is not valid: 1 to 8 letters, digits and `_`, the first one a letter.",
		"参数 `UserNamePrefix` 取值错误：长度1-8字符，由字母、数字、`_` 组成，首字符须为字母。")
	BadTime = refused("InvalidParameterValue", 1,
		"The value of `%s` is not valid: a time is written YYYY-MM-DD hh:mm:ss, in UTC+8.",
		"参数 `%s` 取值错误：时间格式为 YYYY-MM-DD hh:mm:ss，时区UTC+8。")
	BeginRequired = refused("InvalidParameterValue", 0,
		"`RotationBeginTime` must be given when `EnableRotation` is true.",
		"开启轮换时必须指定 `RotationBeginTime`。")
	BadPrivilege = refused("InvalidParameterValue", 2,
		"The privilege `%s` is not one of %s.",
		"权限 `%s` 不属于 %s。")
	PrivilegeWithoutName = refused("InvalidParameterValue", 1,
		"%s must name what they are for: `Database`, `TableName`, `ColumnName`, as far as the level goes.",
		"%s 必须指定对象：按级别填写 `Database`、`TableName`、`ColumnName`。")
	SecretOrKey = refused("InvalidParameterValue", 0,
		"One of `SecretName` and `SSHKeyId` must be given, and both must mean the same secret.",
		"`SecretName` 和 `SSHKeyId` 至少填写一个，且必须指向同一凭据。")
	BadKeyName = refused("InvalidParameterValue", 0,
		"The value of `SSHKeyName` is not valid: 1 to 25 letters, digits and `_`, the first one a letter or a digit.",
		"参数 `SSHKeyName` 取值错误：长度1-25字符，由字母、数字、`_` 组成，首字符须为字母或数字。")
	NotForType = refused("InvalidParameterValue", 2,
		"`%s` can't be used with the secret type %s.",
		"参数 `%s` 不适用于凭据类型 %s。")
	BadTag = refused("InvalidParameterValue", 1,
		"The value of `%s` is not valid: a tag key has 1 to 127 characters, a tag value at most 255, none of them a control character.",
		"参数 `%s` 取值错误：标签键长度1-127字符，标签值最长255字符，且不能包含控制字符。")
	TooManyTags = refused("InvalidParameterValue", 2,
		"`Tags` has %d tags; a resource can have %d.",
		"参数 `Tags` 包含 %d 个标签，超过上限 %d 个。")
	TagKeysDuplicated = refused("InvalidParameterValue.TagKeysDuplicated", 1,
		"The tag key `%s` is given more than once.",
		"标签键 `%s` 重复。")
	InvalidParameterValue = refused("InvalidParameterValue", 1,
		"The value of `%s` is not valid.",
		"参数 `%s` 取值错误。")
)

// The account's state forbids it.
var (
	NotPurchased = refused("ResourceUnavailable.NotPurchased", 0,
		"This account has not bought Secrets Manager, or has not paid for it.",
		"当前账号未购买凭据管理系统服务，或已欠费。")
	AccessKmsError = refused("FailedOperation.AccessKmsError", 1,
		"The KMS key `%s` can't be used.",
		"调用KMS服务失败：密钥 `%s` 不可用。")
	UnauthorizedKms = refused("UnauthorizedOperation.AccessKmsError", 1,
		"The KMS key `%s` belongs to another account.",
		"无权访问KMS密钥 `%s`：密钥不属于当前账号。")
	InstanceIsolated = refused("FailedOperation.RotationForbidden", 2,
		"Rotation of the secret `%s` is forbidden: its instance %s is isolated.",
		"凭据 `%s` 禁止轮换：实例 %s 处于隔离状态。")
	NotOfEngine = refused("InvalidParameterValue", 2,
		"The database behind the instance %s can't do that: %v.",
		"实例 %s 的数据库不支持：%v。")
	UinNotMatch = refused("OperationDenied.UinNotMatch", 1,
		"The user %s does not belong to this account.",
		"用户 %s 不属于当前账号。")
	AccessKeyOverLimit = refused("OperationDenied.AccessKeyOverLimit", 2,
		"The user %s has too many access keys; the limit is %d.",
		"用户 %s 的访问密钥数量超过上限 %d。")
)

// The tag service refuses. S: the codes are its own, the texts not.
var (
	BadResource = refused("InvalidParameterValue.ResourceDescriptionError", 1,
		"The resource `%s` is not one of this account's secrets: qcs::ssm:<region>:uin/<uin>:secret/creatorUin/<uin>/<name>.",
		"资源描述 `%s` 错误，应为当前账号的凭据：qcs::ssm:<region>:uin/<uin>:secret/creatorUin/<uin>/<name>。")
	TagKeyAttached = refused("ResourceInUse.TagKeyAttached", 2,
		"The tag key `%s` is attached to the secret `%s` already; UpdateResourceTagValue changes its value.",
		"标签键 `%s` 已关联凭据 `%s`；如需修改标签值，请调用 UpdateResourceTagValue。")
	TagKeyNotAttached = refused("ResourceNotFound.AttachedTagKeyNotFound", 2,
		"The tag key `%s` is not attached to the secret `%s`.",
		"标签键 `%s` 未关联凭据 `%s`。")
)

// A quota is used up.
var (
	TooManySecrets = refused("LimitExceeded", 1,
		"The quota of %d secrets in this region is used up.",
		"该地域凭据数量已达配额上限 %d。")
	TooManyVersions = refused("LimitExceeded", 2,
		"The secret `%s` has %d versions, as many as a secret can have; delete one first.",
		"凭据 `%s` 已有 %d 个版本，达到上限，请先删除旧版本。")
)

// The security token service refuses. S: the codes are that service's (spelt
// so), the texts not.
var (
	RoleNotFound = refused("ResourceNotFound.RoleNotFound", 2,
		"The role `%s` does not exist. Here the account %d must be seeded with it, as one of its roles: [{roleName: …}].",
		"角色 `%s` 不存在。请在种子文件中为账号 %d 添加该角色，roles: [{roleName: …}]。")
	BadPolicy = refused("InvalidParameter.StrategyFormatError", 1,
		"The policy is not valid: %s.",
		"策略格式错误：%s。")
	OverTime = refused("InvalidParameter.OverTimeError", 2,
		"DurationSeconds is %d; it must be 1 to %d.",
		"DurationSeconds 为 %d，取值范围为 1 到 %d。")
	PermanentOnly = refused("UnauthorizedOperation", 1,
		"Only permanent keys may call %s.",
		"接口 %s 仅支持永久密钥调用。")
)

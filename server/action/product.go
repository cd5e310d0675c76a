package action

// Product secrets: made, rotated, watched. Not built yet: their parameters are checked, then they answer
// UnsupportedOperation.

// CreateProductSecretRequest has the parameters of CreateProductSecret.
type CreateProductSecretRequest struct {
	SecretName        string          `tc3:"required"`
	UserNamePrefix    string          `tc3:"required"` // at most 8 characters
	ProductName       string          `tc3:"required"` // one of DescribeSupportedProducts
	InstanceID        string          `tc3:"required"`
	Domains           []string        `tc3:"required"` // hosts from which the account may connect
	PrivilegesList    []PrivilegeUnit `tc3:"required"`
	Description       string
	KmsKeyId          string
	Tags              []Tag
	RotationBeginTime string // YYYY-MM-DD hh:mm:ss, UTC+8
	EnableRotation    bool
	RotationFrequency int64 // days
	KmsHsmClusterId   string
	AccountRemark     string
	AccountType       string
	EncryptType       uint64
}

// A PrivilegeUnit is the privileges of a database account on one level.
type PrivilegeUnit struct {
	PrivilegeName string   `tc3:"required"`
	Privileges    []string `tc3:"required"`

	Database, TableName, ColumnName, SchemaName, SequenceName, ProcedureName string
	TypeName, FunctionName, ViewName, MatviewName                            string
}

// CreateProductSecretReply is the answer of CreateProductSecret.
type CreateProductSecretReply struct {
	SecretName string
	TagCode    uint64
	TagMsg     string
	FlowID     int64
}

// 1078/41519, 1140/58266.
var createProductSecret = command(spec[CreateProductSecretRequest, CreateProductSecretReply]{
	Name: "CreateProductSecret", Rate: 20,
})

// RotationRequest has the parameters of the actions on a product secret's rotation.
type RotationRequest struct {
	SecretName string `tc3:"required"`
	DryRunnable
}

// FlowReply is the answer of RotateProductSecret.
type FlowReply struct{ FlowID int64 }

// 1078/41515.
var rotateProductSecret = command(spec[RotationRequest, FlowReply]{Name: "RotateProductSecret", Rate: 20})

// RotationStatusRequest has the parameters of UpdateRotationStatus.
type RotationStatusRequest struct {
	SecretName        string `tc3:"required"`
	EnableRotation    bool   `tc3:"required"`
	Frequency         int64  // days
	RotationBeginTime string // YYYY-MM-DD hh:mm:ss, UTC+8
	DryRunnable
}

// EmptyReply is an answer of RequestId alone.
type EmptyReply struct{}

// 1078/41514.
var updateRotationStatus = command(spec[RotationStatusRequest, EmptyReply]{Name: "UpdateRotationStatus", Rate: 20})

// RotationDetailReply is the answer of DescribeRotationDetail.
type RotationDetailReply struct {
	EnableRotation      bool
	Frequency           int64
	LatestRotateTime    string
	NextRotateBeginTime string
}

// 1078/41517.
var describeRotationDetail = query(spec[RotationRequest, RotationDetailReply]{Name: "DescribeRotationDetail", Rate: 20})

// RotationHistoryReply is the answer of DescribeRotationHistory.
type RotationHistoryReply struct {
	VersionIDs      []string
	TotalCount      int64
	AccountInfoList []AccountInfo
}

// 1078/41516, 1140/58263.
var describeRotationHistory = query(spec[RotationRequest, RotationHistoryReply]{Name: "DescribeRotationHistory", Rate: 20})

// FlowRequest has the parameters of DescribeAsyncRequestInfo.
type FlowRequest struct {
	FlowID int64 `tc3:"required"`
	DryRunnable
}

// TaskReply is the answer of DescribeAsyncRequestInfo.
type TaskReply struct {
	TaskStatus  int64 // 0 running, 1 done, 2 failed
	Description string
}

// 1078/41518, 1140/58265.
var describeAsyncRequestInfo = query(spec[FlowRequest, TaskReply]{Name: "DescribeAsyncRequestInfo", Rate: 20})

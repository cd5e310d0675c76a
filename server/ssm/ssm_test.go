package ssm

import (
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"ssmlocal/server/apierr"
)

var update = flag.Bool("update", false, "write the golden file anew")

func TestLifecycle(t *testing.T) {
	const golden = "testdata/lifecycle.md"
	if *update {
		if err := os.WriteFile(golden, []byte(Lifecycle()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := Lifecycle(); got != string(want) {
		t.Errorf("the table is\n%s\nwant, from %s:\n%s", got, golden, want)
	}
}

// TestRefuse looks at what decides first, and that a refusal names the secret
// and what it is.
func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		operation *Operation
		secret    Secret
		want      string
	}{
		{GetValue, Secret{Name: "a"}, ""},
		{GetValue, Secret{Name: "a", Disabled: true}, "ResourceUnavailable.ResourceDisabled: The Secret is disabled. The secret `a` is not available: its status is Disabled. Enable it first."},
		{GetValue, Secret{Name: "a", DeleteAt: 1, Disabled: true}, "ResourceUnavailable.ResourcePendingDeleted: The Secret is in `PendingDelete` status. The secret `a` is not available: its status is PendingDelete. Restore it first."},
		{Delete, Secret{Name: "a"}, "FailedOperation: Operation failed. The secret `a` can't do this while its status is Enabled."},
		{PutValue, Secret{Name: "a", Type: Redis, Disabled: true}, "OperationDenied.AutoRotatedResource: It is not allowed to manually update credentials with automatic rotation enabled. The secret `a` is of the type 4 (Redis), whose value changes only by rotation."},
		{PutValue, Secret{Name: "a", Type: Redis, DeleteAt: 1}, "OperationDenied.AutoRotatedResource: It is not allowed to manually update credentials with automatic rotation enabled. The secret `a` is of the type 4 (Redis), whose value changes only by rotation."},
	} {
		err := c.operation.Refuse(&c.secret)
		if got := text(err); got != c.want {
			t.Errorf("%s on %+v:\n got %s\nwant %s", c.operation.Action, c.secret, got, c.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRules(t *testing.T) {
	long := strings.Repeat("a", 128)
	redis := func(config string) error { _, err := RedisInstance(config); return err }
	lines := func(text string) string {
		var b strings.Builder
		for i := 0; i < len(text); i += 76 {
			b.WriteString(text[i:min(i+76, len(text))] + "\r\n")
		}
		return b.String()
	}
	binary := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for name, c := range map[string]struct {
		err  error
		want *apierr.Kind
	}{
		"name":                     {CheckName("a"), nil},
		"name of all characters":   {CheckName("0aZ_-"), nil},
		"longest name":             {CheckName(long), nil},
		"empty name":               {CheckName(""), apierr.BadSecretName},
		"too long name":            {CheckName(long + "a"), apierr.BadSecretName},
		"name that starts with -":  {CheckName("-a"), apierr.BadSecretName},
		"name that starts with _":  {CheckName("_a"), apierr.BadSecretName},
		"name with a dot":          {CheckName("a.b"), apierr.BadSecretName},
		"name with a slash":        {CheckName("a/b"), apierr.BadSecretName},
		"name with a zero":         {CheckName("a\x00b"), apierr.BadSecretName},
		"Chinese name":             {CheckName("凭据"), apierr.BadSecretName},
		"version":                  {CheckVersionID("v1.0-a_B"), nil},
		"longest version":          {CheckVersionID(long[:64]), nil},
		"empty version":            {CheckVersionID(""), apierr.BadVersionID},
		"too long version":         {CheckVersionID(long[:65]), apierr.BadVersionID},
		"version after a dot":      {CheckVersionID(".1"), apierr.BadVersionID},
		"longest description":      {CheckDescription(strings.Repeat("中", 682) + "ab"), nil},
		"too long description":     {CheckDescription(strings.Repeat("中", 683)), apierr.DescriptionTooLong},
		"text":                     {CheckValue("x", ""), nil},
		"binary":                   {CheckValue("", "eA=="), nil},
		"neither":                  {CheckValue("", ""), apierr.OneValue},
		"both":                     {CheckValue("x", "eA=="), apierr.OneValue},
		"longest text":             {CheckValue(strings.Repeat("x", MaxValue), ""), nil},
		"too long text":            {CheckValue(strings.Repeat("x", MaxValue+1), ""), apierr.ValueTooLong},
		"longest binary":           {CheckValue("", binary(MaxValue)), nil},
		"too long binary":          {CheckValue("", binary(MaxValue+1)), apierr.ValueTooLong},
		"binary that is no base64": {CheckValue("", "x"), apierr.BadBase64},
		"binary in lines":          {CheckValue("", "eA\r\n==\n"), nil},
		"longest binary in lines":  {CheckValue("", lines(binary(MaxValue))), nil},
		"too long binary in lines": {CheckValue("", lines(binary(MaxValue+1))), apierr.ValueTooLong},
		"line ends alone":          {CheckValue("", "\n"), apierr.OneValue},
		"line ends beside a text":  {CheckValue("x", "\r\n"), apierr.OneValue},
		"almost only line ends":    {CheckValue("", "eA=="+strings.Repeat("\n", 200_000)), apierr.ValueTooLong},
		"tag key with a zero":      {CheckTags([]Tag{{"a\x00b", ""}}), apierr.BadTag},
		"tag value with NEL":       {CheckTags([]Tag{{"a", "\u0085"}}), apierr.BadTag},
		"KMS key":                  {CheckKmsKeyID("23e80852-1e38-11e9-b129-5cb9019b4b01"), nil},
		"long KMS key":             {CheckKmsKeyID(strings.Repeat("x", MaxID+1)), apierr.InvalidParameterValue},
		"Redis, long instance":     {redis(`{"Privilege":"r","InstanceId":"` + strings.Repeat("x", MaxID+1) + `"}`), apierr.BadRedisConfig},
		"tags":                     {CheckTags([]Tag{{"k", "v"}, {"K", ""}}), nil},
		"empty tag key":            {CheckTags([]Tag{{"", "v"}}), apierr.BadTag},
		"long tag key":             {CheckTags([]Tag{{long, ""}}), apierr.BadTag},
		"long tag value":           {CheckTags([]Tag{{"k", strings.Repeat("中", 256)}}), apierr.BadTag},
		"tag key twice":            {CheckTags([]Tag{{"k", "v"}, {"k", "w"}}), apierr.TagKeysDuplicated},
		"51 tags":                  {CheckTags(make([]Tag, 51)), apierr.TooManyTags},
		"Redis":                    {redis(`{"Region":"ap-guangzhou","Privilege":"r","InstanceId":"crs-1","ReadonlyPolicy":["master"]}`), nil},
		"Redis with a list":        {redis(`["crs-1"]`), apierr.BadRedisConfig},
		"Redis without JSON":       {redis("crs-1"), apierr.BadRedisConfig},
		"Redis without instance":   {redis(`{"Privilege":"r"}`), apierr.BadRedisConfig},
		"Redis that may all":       {redis(`{"Privilege":"all","InstanceId":"crs-1"}`), apierr.BadRedisConfig},
	} {
		var got *apierr.Error
		if c.want == nil && c.err != nil || c.want != nil && (!errors.As(c.err, &got) || got.Kind != c.want) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}

func TestKeys(t *testing.T) {
	if NewOwner(100000000001, "").AppID != 1250000001 {
		t.Error("the default account has another AppId")
	}
	a, b := Owner{Uin: 1, AppID: 2, Region: "ap-guangzhou"}, Owner{Uin: 1, AppID: 2, Region: "ap-beijing"}
	if a.DefaultKmsKeyID() == b.DefaultKmsKeyID() {
		t.Error("two regions share a default key")
	}
	if got, want := a.DefaultKmsKeyID(), "2d37d83d-1eab-5951-8840-80b8dbbafaf6"; got != want {
		t.Errorf("the default key is %s, and was %s before: secrets would change theirs", got, want)
	}
	if id := (&Secret{}).KeyID(a); len(id) != 36 {
		t.Errorf("the default key's id is %q", id)
	}
	if id := (&Secret{KmsKeyID: "mine"}).KeyID(a); id != "mine" {
		t.Errorf("the user's key reads back as %q", id)
	}
	if id := (&Secret{KmsKeyID: "mine", SoftwareKey: true}).KeyID(a); id != "" {
		t.Errorf("a software key reads back as %q", id)
	}
}

func TestResourceID(t *testing.T) {
	got := Owner{Uin: 100000000001, AppID: 1250000001}.ResourceID(time.Unix(1700000000, 5), "a1b")
	if want := "1250000001_100000000001_customize_1700000000000000005_a1b"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRegionsAreListed(t *testing.T) {
	seen := map[int64]bool{}
	for _, r := range regions {
		if seen[r.number] || r.number == 0 {
			t.Errorf("%s: the number %d stands twice", r.name, r.number)
		}
		seen[r.number] = true
	}
	if region, offers := FindRegion("eu-moscow"); region == "" || offers {
		t.Error("eu-moscow must exist without the service")
	}
	if region, _ := FindRegion("us-east-1"); region != "" || RegionNumber("us-east-1") != 0 {
		t.Error("us-east-1 exists")
	}
	if len(Regions()) != len(regions)-2 || RegionNumber("ap-guangzhou") != 1 {
		t.Error("the regions are not all there")
	}
}

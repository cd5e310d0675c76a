package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// TestRandomRun does thousands of random steps on an emulator and on a plain
// model of the service, and compares every answer. The model is written from
// the documentation, without the server's tables.
func TestRandomRun(t *testing.T) {
	for range 4 {
		seed := uint64(time.Now().UnixNano())
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			run := &randomRun{
				T: t, r: rand.New(rand.NewPCG(seed, 0)), server: servertest.New(t, server.Config{Unlimited: true, SecretLimit: 8}),
				secrets: map[string]*modelSecret{},
			}
			for range 1500 {
				run.step()
			}
		})
	}
}

type randomRun struct {
	*testing.T
	r       *rand.Rand
	server  *servertest.Server
	now     time.Duration // by how much the clock was moved
	secrets map[string]*modelSecret
	created int // counts creations: the order of lists
}

type modelSecret struct {
	name, description string
	status            string
	ends              time.Duration // of a pending deletion
	tag               string
	order             int
	versions          []modelVersion // oldest first

	product   bool
	rotations int           // how often the value was replaced
	policy    bool          // rotation by policy is on
	next      time.Duration // of the next rotation by policy
}

type modelVersion struct{ id, value string }

func (m *modelSecret) find(id string) int {
	return slices.IndexFunc(m.versions, func(v modelVersion) bool { return v.id == id })
}

// step does one random thing.
func (run *randomRun) step() {
	run.Helper()
	name := fmt.Sprintf("secret-%d", run.r.IntN(12))
	version := fmt.Sprintf("v%d", run.r.IntN(12))
	value := fmt.Sprintf("value %d", run.r.IntN(1000))
	s := run.secrets[name]
	switch run.r.IntN(17) {
	case 0:
		run.move()
	case 1, 2:
		run.create(name, version, value)
	case 3:
		run.check("UpdateDescription", object{"SecretName": name, "Description": value}, run.mutable(s), func() { s.description = value })
	case 4:
		run.check("DisableSecret", object{"SecretName": name}, run.notPending(s), func() { s.status = "Disabled" })
	case 5:
		run.check("EnableSecret", object{"SecretName": name}, run.notPending(s), func() { s.status = "Enabled" })
	case 6:
		run.delete(name, uint64(run.r.IntN(4)))
	case 7:
		run.check("RestoreSecret", object{"SecretName": name}, run.only(s, "PendingDelete"), func() { s.status = "Disabled" })
	case 8:
		run.put(name, version, value)
	case 9:
		run.update(name, version, value)
	case 10:
		run.deleteVersion(name, version)
	case 11:
		run.read(name, version)
	case 12:
		run.list()
	case 13:
		run.createProduct(name)
	case 14:
		run.rotate(name)
	case 15:
		run.setPolicy(name)
	case 16:
		run.reload()
	}
}

// reload exports the state and imports it: nothing changes, in the state or in
// what comes after.
func (run *randomRun) reload() {
	run.Helper()
	if run.r.IntN(4) > 0 {
		return // it costs more than the other steps
	}
	before := getState(run.T, run.server, "")
	if status, body := putState(run.T, run.server, "", before); status != http.StatusOK {
		run.Fatalf("%d %s\n%s", status, body, before)
	}
	if after := getState(run.T, run.server, ""); after != before {
		run.Fatal(difference(after, before))
	}
}

const period = 30 * 24 * time.Hour

// createProduct makes a product secret whose policy begins in some hours, or
// has no policy.
func (run *randomRun) createProduct(name string) {
	run.Helper()
	hours, on := 1+run.r.IntN(100), run.r.IntN(2) == 0
	begin := ""
	if on {
		begin = inZone(run.server.Clock.Now().Add(time.Duration(hours) * time.Hour))
	}
	run.check("CreateProductSecret", product(name, begin, 30), run.free(name), func() {
		run.created++
		run.secrets[name] = &modelSecret{
			name: name, status: "Enabled", order: run.created, product: true, policy: on,
			next: run.now + time.Duration(hours)*time.Hour,
		}
	})
}

// denied returns the code of an action on product secrets for a secret of
// another type, or for none; "" for a product secret.
func (run *randomRun) denied(s *modelSecret) string {
	switch {
	case s == nil:
		return "ResourceNotFound"
	case !s.product:
		return "OperationDenied"
	}
	return ""
}

func (run *randomRun) rotate(name string) {
	run.Helper()
	s := run.secrets[name]
	want := run.denied(s)
	if want == "" {
		want = map[string]string{
			"Disabled": "ResourceUnavailable.ResourceDisabled", "PendingDelete": "ResourceUnavailable.ResourcePendingDeleted",
		}[s.status]
	}
	run.check("RotateProductSecret", object{"SecretName": name}, want, func() { s.rotations++ })
}

func (run *randomRun) setPolicy(name string) {
	run.Helper()
	s := run.secrets[name]
	want, on, hours := run.denied(s), run.r.IntN(2) == 0, 1+run.r.IntN(100)
	params := object{"SecretName": name, "EnableRotation": on}
	if on {
		params["RotationBeginTime"] = inZone(run.server.Clock.Now().Add(time.Duration(hours) * time.Hour))
	}
	if want == "" && (s.status == "PendingDelete" || s.status == "Disabled" && on) {
		want = "FailedOperation.RotationForbidden"
	}
	run.check("UpdateRotationStatus", params, want, func() {
		s.policy, s.next = on, run.now+time.Duration(hours)*time.Hour
	})
}

// readProduct compares the rotation data of a product secret.
func (run *randomRun) readProduct(s *modelSecret) {
	run.Helper()
	var history struct{ TotalCount int }
	var detail struct{ EnableRotation bool }
	run.checkReply("DescribeRotationHistory", object{"SecretName": s.name}, &history, "")
	run.checkReply("DescribeRotationDetail", object{"SecretName": s.name}, &detail, "")
	if want := min(s.rotations, 10); history.TotalCount != want || detail.EnableRotation != s.policy {
		run.Fatalf("%s has %d values in its history, policy %t; the model says %d, %t", s.name, history.TotalCount, detail.EnableRotation, want, s.policy)
	}
	var about struct{ Status string }
	run.checkReply("DescribeSecret", object{"SecretName": s.name}, &about, "")
	if about.Status != s.status {
		run.Fatalf("%s is %s, the model says %s", s.name, about.Status, s.status)
	}
}

// byHand returns the code of an action that changes a value by hand, for a
// product secret.
func byHand(s *modelSecret, denied, otherwise string) string {
	if s != nil && s.product {
		return denied
	}
	return otherwise
}

// free says whether a name is free.
func (run *randomRun) free(name string) string {
	switch {
	case run.secrets[name] != nil:
		return "ResourceInUse.SecretExists"
	case len(run.secrets) >= 8:
		return "LimitExceeded"
	}
	return ""
}

// check calls an action and compares its code with the one that the model says;
// after a success the model changes.
func (run *randomRun) check(action string, params object, want string, change func()) {
	run.Helper()
	run.checkReply(action, params, nil, want)
	if want == "" {
		change()
	}
}

func (run *randomRun) checkReply(action string, params object, reply any, want string) {
	run.Helper()
	err := run.server.Call(action, params, reply)
	got := ""
	var failure *servertest.Error
	if errors.As(err, &failure) {
		got = failure.Code
	} else if err != nil {
		run.Fatal(err)
	}
	if got != want {
		run.Fatalf("%s %v: %q, the model says %q", action, params, got, want)
	}
}

func (run *randomRun) only(s *modelSecret, statuses ...string) string {
	switch {
	case s == nil:
		return "ResourceNotFound"
	case !slices.Contains(statuses, s.status):
		return "FailedOperation"
	}
	return ""
}

func (run *randomRun) mutable(s *modelSecret) string { return run.only(s, "Enabled", "Disabled") }

func (run *randomRun) notPending(s *modelSecret) string { return run.only(s, "Enabled", "Disabled") }

// move moves the clock by up to a day and ends what is due by then.
func (run *randomRun) move() {
	by := time.Duration(1+run.r.IntN(24)) * time.Hour
	if run.r.IntN(10) == 0 {
		by *= 50
	}
	run.server.Clock.Advance(by)
	run.now += by
	for name, s := range run.secrets {
		if s.status == "PendingDelete" && s.ends <= run.now {
			delete(run.secrets, name)
		}
		for s.policy && s.next <= run.now {
			if s.status == "Enabled" {
				s.rotations++
			}
			s.next += period
		}
	}
}

func (run *randomRun) create(name, version, value string) {
	run.Helper()
	want := run.free(name)
	tag := fmt.Sprint(run.r.IntN(3))
	params := object{"SecretName": name, "VersionId": version, "SecretString": value, "Tags": []object{{"TagKey": "t", "TagValue": tag}}}
	run.check("CreateSecret", params, want, func() {
		run.created++
		run.secrets[name] = &modelSecret{name: name, status: "Enabled", tag: tag, order: run.created, versions: []modelVersion{{version, value}}}
	})
}

func (run *randomRun) delete(name string, days uint64) {
	run.Helper()
	s := run.secrets[name]
	run.check("DeleteSecret", object{"SecretName": name, "RecoveryWindowInDays": days}, run.only(s, "Disabled"), func() {
		if days == 0 {
			delete(run.secrets, name)
			return
		}
		// The server's clock also runs by itself, so once the model's time is
		// there, the server's is just past it.
		s.status, s.ends = "PendingDelete", run.now+time.Duration(days)*24*time.Hour
	})
}

func (run *randomRun) put(name, version, value string) {
	run.Helper()
	s := run.secrets[name]
	want := byHand(s, "OperationDenied.AutoRotatedResource", run.mutable(s))
	switch {
	case want != "":
	case s.find(version) >= 0:
		want = "ResourceInUse.VersionIdExists"
	case len(s.versions) == 10:
		want = "LimitExceeded"
	}
	run.check("PutSecretValue", object{"SecretName": name, "VersionId": version, "SecretString": value}, want, func() {
		s.versions = append(s.versions, modelVersion{version, value})
	})
}

func (run *randomRun) update(name, version, value string) {
	run.Helper()
	s := run.secrets[name]
	want := byHand(s, "OperationDenied.AutoRotatedResource", run.mutable(s))
	if want == "" && s.find(version) < 0 {
		want = "ResourceNotFound"
	}
	run.check("UpdateSecret", object{"SecretName": name, "VersionId": version, "SecretString": value}, want, func() {
		s.versions[s.find(version)].value = value
	})
}

func (run *randomRun) deleteVersion(name, version string) {
	run.Helper()
	s := run.secrets[name]
	want := ""
	if s == nil || s.find(version) < 0 {
		want = "ResourceNotFound"
	}
	want = byHand(s, "FailedOperation", want)
	run.check("DeleteSecretVersion", object{"SecretName": name, "VersionId": version}, want, func() {
		i := s.find(version)
		s.versions = slices.Delete(s.versions, i, i+1)
	})
}

// read compares a value, the description and the list of versions.
func (run *randomRun) read(name, version string) {
	run.Helper()
	s := run.secrets[name]
	var value struct{ SecretString string }
	var about struct{ Status, Description string }
	var list struct{ Versions []struct{ VersionId string } }
	if s == nil {
		run.checkReply("DescribeSecret", object{"SecretName": name}, nil, "ResourceNotFound")
		run.checkReply("ListSecretVersionIds", object{"SecretName": name}, nil, "ResourceNotFound")
		return
	}
	if s.product {
		run.readProduct(s)
		return
	}
	i := s.find(version)
	want := map[string]string{
		"Enabled": "", "Disabled": "ResourceUnavailable.ResourceDisabled", "PendingDelete": "ResourceUnavailable.ResourcePendingDeleted",
	}[s.status]
	if i < 0 {
		want = "ResourceNotFound"
	}
	run.checkReply("GetSecretValue", object{"SecretName": name, "VersionId": version}, &value, want)
	if want == "" && value.SecretString != s.versions[i].value {
		run.Fatalf("%s %s is %q, the model says %q", name, version, value.SecretString, s.versions[i].value)
	}
	run.checkReply("DescribeSecret", object{"SecretName": name}, &about, "")
	if about.Status != s.status || about.Description != s.description {
		run.Fatalf("%s is %+v, the model says %+v", name, about, s)
	}
	run.checkReply("ListSecretVersionIds", object{"SecretName": name}, &list, "")
	var got, model []string
	for _, v := range list.Versions {
		got = append(got, v.VersionId)
	}
	for _, v := range slices.Backward(s.versions) {
		model = append(model, v.id)
	}
	if !slices.Equal(got, model) {
		run.Fatalf("the versions of %s are %v, the model says %v", name, got, model)
	}
}

// list compares one page of a random list.
func (run *randomRun) list() {
	run.Helper()
	state, tag, part := run.r.IntN(4), run.r.IntN(4), []string{"", "", "1", "secret-"}[run.r.IntN(4)]
	offset, limit, oldest := run.r.IntN(4), 1+run.r.IntN(5), run.r.IntN(2)
	params := object{"State": state, "Offset": offset, "Limit": limit, "OrderType": oldest}
	if part != "" {
		params["SearchSecretName"] = part
	}
	if tag < 3 {
		params["TagFilters"] = []object{{"TagKey": "t", "TagValue": []string{fmt.Sprint(tag)}}}
	}
	var all []*modelSecret
	for _, s := range run.secrets {
		inState := state == 0 || s.status == []string{"Enabled", "Disabled", "PendingDelete"}[state-1]
		if !s.product && inState && strings.Contains(s.name, part) && (tag == 3 || s.tag == fmt.Sprint(tag)) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *modelSecret) int { return a.order - b.order })
	if oldest == 0 {
		slices.Reverse(all)
	}
	var want, got []string
	for _, s := range all[min(offset, len(all)):min(offset+limit, len(all))] {
		want = append(want, s.name)
	}
	var reply struct {
		TotalCount      int
		SecretMetadatas []struct{ SecretName string }
	}
	run.checkReply("ListSecrets", params, &reply, "")
	for _, m := range reply.SecretMetadatas {
		got = append(got, m.SecretName)
	}
	if reply.TotalCount != len(all) || !slices.Equal(got, want) {
		run.Fatalf("ListSecrets %v: %d %v, the model says %d %v", params, reply.TotalCount, got, len(all), want)
	}
}

// TestOneNameOnce lets many callers create one name at once: one of them does.
func TestOneNameOnce(t *testing.T) {
	s := servertest.New(t, server.Config{Unlimited: true})
	var wg sync.WaitGroup
	results := make(chan error, 20)
	for range cap(results) {
		wg.Go(func() { results <- s.Call("CreateSecret", map[string]any{"SecretName": "a", "SecretString": "x"}, nil) })
	}
	wg.Wait()
	close(results)
	created := 0
	for err := range results {
		var failure *servertest.Error
		switch {
		case err == nil:
			created++
		case !errors.As(err, &failure) || failure.Code != "ResourceInUse.SecretExists":
			t.Error(err)
		}
	}
	if created != 1 {
		t.Errorf("%d callers created the secret", created)
	}
}

// TestFlowIDsAreNotReused draws FlowIDs near those that a seed has used.
func TestFlowIDsAreNotReused(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import("accounts: [{uin: 100000000001, tasks: [{flowId: 3, kind: rotation, secretName: old, status: failed}, {flowId: 43415, kind: rotation, secretName: old, status: failed}]}]")
	seen := map[int64]bool{3: true, 43415: true}
	for i := range 4 {
		var reply struct{ FlowID int64 }
		err := s.Call("CreateProductSecret", map[string]any{
			"SecretName": fmt.Sprint("p", i), "UserNamePrefix": "app", "ProductName": "Mysql", "InstanceID": "c", "Domains": []string{"%"},
			"PrivilegesList": []map[string]any{{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"SELECT"}}},
		}, &reply)
		if err != nil || seen[reply.FlowID] {
			t.Errorf("the task is %d, %v", reply.FlowID, err)
		}
		seen[reply.FlowID] = true
	}
}

// TestSpentNamesAreFree adds a rule again under the name of one that is spent.
func TestSpentNamesAreFree(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	for range 3 {
		addFault(t, s, `{"id":"flaky","action":"GetRegions","times":1,"error":{"code":"InternalError"}}`)
		if s.Call("GetRegions", nil, nil) == nil || s.Call("GetRegions", nil, nil) != nil {
			t.Error("the rule did not hit once")
		}
	}
	if status, body := ask(t, s, "POST", "/faults", `{"id":"..","drop":true}`); status != http.StatusBadRequest {
		t.Error(body)
	}
}

// TestSSHKeysByID finds the secret that a call names by its key: rules match
// it, and the journal has it. A step of a script that lets a call pass is no
// fault.
func TestSSHKeysByID(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import("accounts: [{uin: 100000000001, secrets: [{secretName: deploy, secretType: 2, sshKeyId: skey-aaaaaaaa}]}]")
	addFault(t, s, `{"secretName":"deploy","script":[{},{"error":{"code":"InternalError"}}]}`)
	byID := map[string]string{"SSHKeyId": "skey-aaaaaaaa"}
	if s.Call("GetSSHKeyPairValue", byID, nil) != nil || s.Call("GetSSHKeyPairValue", byID, nil) == nil {
		t.Error("the rule does not match the secret of the key")
	}
	if n := count(t, s, "?secretName=deploy"); n != 2 {
		t.Errorf("%d calls for the secret", n)
	}
	answer, err := http.Get(s.URL + "/_ssmlocal/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); !strings.Contains(string(text), `ssmlocal_faults_total{action="GetSSHKeyPairValue"} 1`) {
		t.Error("a step that lets a call pass counts as a fault")
	}
	var all []map[string]any
	if err := json.Unmarshal([]byte(getControl(t, s, "/journal")), &all); err != nil || all[0]["fault"] != nil {
		t.Errorf("%v %v", all[0], err)
	}
}

package action

// The table of all actions, which everything else reads: dispatch, rates,
// policies, metrics, the documents, the comparison with the documented facts.

// A Set is the actions of one service in one version.
type Set struct {
	Service, Version string
	Actions          []*Action
}

// Sets returns the services that there are: Secrets Manager first.
func Sets() []Set {
	return []Set{
		{Service, Version, All()},
		{tagService, TagVersion, []*Action{
			addResourceTag, deleteResourceTag, describeResourceTagsByResourceIds, getResources, modifyResourceTags,
			tagResources, unTagResources, updateResourceTagValue,
		}},
		{stsService, STSVersion, []*Action{assumeRole, assumeRoleWithWebIdentity, getCallerIdentity, getFederationToken}},
	}
}

// All returns the table: every action of the API's version, in alphabetical
// order.
func All() []*Action {
	return []*Action{
		createProductSecret, createSSHKeyPairSecret, createSecret, createService, deleteSecret, deleteSecretVersion,
		describeAsyncRequestInfo, describeRotationDetail, describeRotationHistory, describeSecret,
		describeSupportedProducts, disableSecret, enableSecret, getRegions, getSSHKeyPairValue, getSecretValue,
		getServiceStatus, listSecretVersionIds, listSecrets, putSecretValue, restoreSecret, rotateProductSecret,
		updateDescription, updateRotationStatus, updateSecret,
	}
}

// Names returns the names of all actions of all services.
func Names() []string { return namesOf(func(a *Action) string { return a.Name }) }

// Named returns the action with a name, of any service; nil for none.
func Named(name string) *Action {
	for _, set := range Sets() {
		for _, a := range set.Actions {
			if a.Name == name {
				return a
			}
		}
	}
	return nil
}

// Operations returns all actions as CAM names them.
func Operations() []string { return namesOf((*Action).Operation) }

func namesOf(name func(*Action) string) (names []string) {
	for _, set := range Sets() {
		for _, a := range set.Actions {
			names = append(names, name(a))
		}
	}
	return names
}

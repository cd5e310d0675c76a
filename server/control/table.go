package control

import (
	"fmt"
	"net/http"
	"strings"
)

// A row is one call of the control plane. What do returns is written as JSON,
// unless it is a http.Handler, which then answers by itself.
type row struct {
	method, path string
	query        []string // the parameters that it takes after a ?
	about        string   // what it does, with the body that it takes
	do           func(*Control, *http.Request) (any, error)
}

// table is all of them.
var table = []row{
	{"GET", "/ca.pem", nil, "the certificate to trust for TLS, in PEM", withQuery((*Control).readCA)},
	{"GET", "/version", nil, "the version of the build", noBody((*Control).readVersion)},
	{"GET", "/actions", nil, "the actions, with their rates and documented codes", noBody((*Control).listActions)},
	{"GET", "/facts", nil, "what a form needs: each action's parameters, what each operation does in each status, the regions, and the SecretIds that may call", noBody((*Control).listFacts)},
	{"GET", "/errors", []string{"action", "code"}, "the error atlas: how to get each documented code, see [fixtures/errors.md](../../fixtures/errors.md)", withQuery((*Control).listErrors)},
	{"POST", "/errors/run", nil, "get a documented code live, on a throwaway emulator: `{\"action\":\"GetSecretValue\",\"code\":\"ResourceNotFound\"}`; answers each step with what went over the wire, and the code that was reached", jsonBodyWithQuery((*Control).runError)},
	{"GET", "/tours", nil, "the tours: stories that are played step by step", noBody((*Control).listTours)},
	{"POST", "/tours/{id}/run", nil, "play a tour on a throwaway emulator", withQuery((*Control).playTour)},
	{"POST", "/call", nil, "make a call, signed by the emulator with the key of `as` (a SecretId; the first one if absent): `{\"action\":\"GetSecretValue\",\"parameters\":{\"SecretName\":\"db\",\"VersionId\":\"v1\"}}`, also `service`, `region`, `language`, `signature` (TC3-HMAC-SHA256, HmacSHA1, HmacSHA256). It goes the way of any client's call; the answer has the reply, and the wire: request, canonical request, string to sign, response", jsonBodyWithQuery((*Control).makeCall)},
	{"POST", "/call/code", nil, "the same as a program for a client: the same fields and `client`, one of curl, tccli, go, python, node, java, php", jsonBodyWithQuery((*Control).callCode)},
	{"GET", "/journal", journalQuery, "the last calls, oldest first, without values; `secretName` with `*` and `?`, `since` a time or a duration such as `5m`, `after` a number, `code=OK` for success", withQuery((*Control).readJournal)},
	{"GET", "/journal/count", journalFilters, "how many calls match: `{\"count\":1}`", withQuery((*Control).countJournal)},
	{"GET", "/journal/stream", journalQuery, "the calls from now on as server-sent events; before them the last `limit` ones, or those after an id (`after`, or the header Last-Event-ID)", withQuery((*Control).streamJournal)},
	{"DELETE", "/journal", []string{"uin"}, "empty the journal, of all accounts or of one", withQuery((*Control).clearJournal)},
	{"GET", "/limits", []string{"uin"}, "each budget of calls with its limit and its highest use in a second, also with `--limits off`", withQuery((*Control).readLimits)},
	{"PUT", "/limits", nil, "change rates while the server runs: `{\"action\":\"GetSecretValue\",\"perSecond\":5}`, 0 for no limit, or `{\"all\":\"off\"}`, `documented` or `start` for those of all actions", jsonBody((*Control).setLimits)},
	{"GET", "/metrics", nil, "for Prometheus: calls by action and code, durations, refusals, faults, the store's size, the clock's offset", withQuery((*Control).readMetrics)},
	{"GET", "/clock", nil, "what the virtual clock does", noBody((*Control).clockNow)},
	{"PUT", "/clock", nil, "move it ahead, freeze it, let it run again: `{\"now\":\"2030-01-02T15:04:05Z\",\"mode\":\"frozen\"}`, mode `running` or `frozen`, either or both", jsonBodyWithQuery((*Control).setClock)},
	{"GET", "/clock/due", []string{"limit"}, "what becomes due: deletions, rotations, ends of tasks, the first 100 unless `limit` says otherwise", withQuery((*Control).listDue)},
	{"POST", "/clock/advance", nil, "move it ahead and list what became due on the way: `{\"by\":\"72h\"}`, also `30d`, or `{\"to\":\"2030-01-02T15:04:05Z\"}`", jsonBodyWithQuery((*Control).advanceClock)},
	{"GET", "/setaside", nil, "what is due and could not be done, with the reason; it is tried again, also at the next start", noBody((*Control).listAside)},
	{"GET", "/work", nil, "long work that is under way (an import, a reset, an export, a backup, a move of the clock) and its progress", noBody((*Control).listWork)},
	{"GET", "/tasks", nil, "the pace of tasks, and how many of the next ones fail", noBody((*Control).taskSettings)},
	{"PUT", "/tasks", nil, "change the pace of tasks, and how many of the next ones fail: `{\"pace\":\"3polls\",\"failNext\":1}`, pace `now`, a duration of virtual time or a number of polls, either or both", jsonBody((*Control).setTasks)},
	{"GET", "/accounts", nil, "the data of accounts besides their secrets", noBody((*Control).allAccounts)},
	{"PUT", "/accounts", nil, "replace the data of one account: `{\"uin\":100000000001,\"service\":\"arrears\",\"postpaid\":true,\"secretLimit\":50,\"kmsKeys\":{\"ID\":\"disabled\"},\"users\":{\"100000000101\":{\"otherKeys\":1}},\"isolated\":[\"cdb-1\"]}`, also `order`, what CreateService has ordered; what is left out is forgotten, but a user with a key can't be left out; service `normal`, `none`, `arrears` or `released`, keys `disabled` or `foreign`", jsonBody((*Control).setAccount)},
	{"GET", "/instances", []string{"uin"}, "the instances that are bound to real databases: whether each can be reached, and its accounts, with what is out of step; see [Rotation in real databases](../README.md#rotation-in-real-databases)", withQuery((*Control).listInstances)},
	{"PUT", "/instances", nil, "bind an instance: `{\"uin\":100000000001,\"instanceId\":\"cdb-1\",\"url\":\"mysql://root:password@127.0.0.1:3306/\"}`", jsonBodyWithQuery((*Control).bindInstance)},
	{"DELETE", "/instances/{id}", []string{"uin"}, "end a binding; nothing in the database changes", withQuery((*Control).unbindInstance)},
	{"POST", "/instances/{id}/repair", []string{"uin", "drop"}, "put the accounts of its secrets back into its database, with the passwords that the secrets hold; `drop=leftover` drops the accounts, too, that were made for secrets which are no more", withQuery((*Control).repairInstance)},
	{"POST", "/accesskeysecrets", nil, "make an API-key secret, which no public action does: `{\"uin\":100000000001,\"region\":\"ap-guangzhou\",\"secretName\":\"key\",\"targetUin\":100000000101}`", jsonBodyWithQuery((*Control).newAccessKeySecret)},
	{"GET", "/state", []string{"uin"}, "the whole state, or one account's, as a seed in YAML; see [Seeds](../../fixtures/README.md#seeds)", withQuery((*Control).exportState)},
	{"PUT", "/state", []string{"uin", "merge", "dryRun"}, "put a seed in place of the whole state, or of one account's, in one transaction; `merge=true` adds it instead: what both have is then as the seed says, everything else stays; `dryRun=true` changes nothing and answers what would be added, removed and changed, without values", withQuery((*Control).importState)},
	{"GET", "/seed.schema.json", nil, "the JSON schema of seeds, for editors", noBody((*Control).seedSchema)},
	{"GET", "/snapshots", nil, "the states that are kept under a name, in the data directory or in memory", noBody((*Control).listSnapshots)},
	{"PUT", "/snapshots/{id}", []string{"uin"}, "keep the present state under that name", withQuery((*Control).saveSnapshot)},
	{"GET", "/snapshots/{id}", nil, "the snapshot, as a seed", withQuery((*Control).showSnapshot)},
	{"POST", "/snapshots/{id}/load", []string{"uin"}, "put the snapshot in place of the state", withQuery((*Control).loadSnapshot)},
	{"GET", "/snapshots/{id}/diff", []string{"with"}, "how the present state, or another snapshot, differs from it: what was added, removed and changed, without values", withQuery((*Control).diffSnapshot)},
	{"DELETE", "/snapshots/{id}", nil, "forget it", withQuery((*Control).deleteSnapshot)},
	{"POST", "/reset", []string{"uin", "to"}, "return the whole state, or one account's, to the seeds of the start: secrets, keys, faults, budgets; for the whole state also the clock and the pace of tasks; `to` names a snapshot to return to instead", withQuery((*Control).resetState)},
	{"GET", "/capsule", []string{"redact"}, "the state at the last start or reset, and every request since with its answer, if the emulator was started with `--capsule N`. It holds values; `redact=true` replaces them, each by the same text wherever it occurs", withQuery((*Control).saveCapsule)},
	{"POST", "/replay", nil, "send the requests of a capsule (the body) to an emulator in memory, and compare the answers; the running state is not touched", withQuery((*Control).replay)},
	{"GET", "/backup", nil, "a consistent copy of the data file, while writes go on", withQuery((*Control).backupFile)},
	{"GET", "/events", []string{"after"}, "what has become of secrets: rotations, creations, deletions and failures, by hand or by time, the last 1,000 of them, or those after an id", withQuery((*Control).listEvents)},
	{"GET", "/events/stream", []string{"after"}, "the same as server-sent events, from now on, or from after an id (`after`, or the header Last-Event-ID)", withQuery((*Control).streamEvents)},
	{"GET", "/leaks", nil, "the requests that the proxy (`--proxy`) refused because they were for other hosts: `{\"total\":0,\"refused\":[]}`", noBody((*Control).listLeaks)},
	{"DELETE", "/leaks", nil, "forget it", noBody((*Control).forgetLeaks)},
	{"GET", "/faults", nil, "the fault rules, with the calls that each has hit and the hits that it has left", noBody((*Control).listFaults)},
	{"POST", "/faults", []string{"strict"}, "add one: `{\"action\":\"GetSecretValue\",\"times\":2,\"error\":{\"code\":\"InternalError\"}}`; see [Faults](#faults)", jsonBodyWithQuery((*Control).addFault)},
	{"DELETE", "/faults", []string{"uin"}, "remove all, or those that are for one account alone", withQuery((*Control).removeFaults)},
	{"DELETE", "/faults/{id}", nil, "remove one", withQuery((*Control).removeFault)},
}

// Calls are the calls of the control plane, such as "GET /clock".
func Calls() (all []string) {
	for _, x := range table {
		all = append(all, x.method+" "+x.path)
	}
	return all
}

// Table prints the calls of the control plane as a table in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| Call | |\n|---|---|\n| `GET /_ssmlocal/health` | 200 while the server lives; also HEAD, and on every address |\n| `GET /_ssmlocal/ready` | 200 once the server is seeded and serves; also HEAD, and on every address |\n")
	for _, x := range table {
		path := x.path
		for i, name := range x.query {
			path += string("?&"[min(i, 1)]) + name + "="
		}
		fmt.Fprintf(&b, "| `%s /_ssmlocal%s` | %s |\n", x.method, path, x.about)
	}
	return b.String()
}

package gateway

import (
	"context"
	"fmt"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/journal"
	"ssmlocal/server/tc3"
	"ssmlocal/server/turn"
)

// Who calls: the signature, its age, and the token of temporary keys.

// authenticate finds out who calls.
func (g *Gateway) authenticate(ctx context.Context, q *tc3.Request, rec *record, a *action.Action) (account.Caller, error) {
	if a.Unsigned && q.Header.Get("Authorization") == "SKIP" {
		return account.Caller{}, g.checkFresh(q, rec)
	}
	claim, err := q.Claim()
	rec.secretID = journal.Clip(claim.SecretID)
	if g.backend.Directory.Unsigned() {
		if err != nil || claim.SecretID == "" {
			return g.backend.Directory.Anonymous(), nil
		}
		return g.backend.Directory.Find(claim.SecretID)
	}
	if err == nil {
		err = g.checkScope(q)
	}
	if err != nil {
		return account.Caller{}, err
	}
	if err := g.checkFresh(q, rec); err != nil {
		return account.Caller{}, err
	}
	caller, err := g.backend.Directory.Find(claim.SecretID)
	switch {
	case err != nil:
		known := journal.Clip(g.backend.Directory.KnownIDs())
		rec.hint = "the SecretId is not known: call with " + known + ", or start with --credential or --auth any"
		return caller, err
	case !caller.Known:
		return caller, nil
	}
	rec.uin = caller.Uin
	if hint := tokenHint(&caller, q.Token, g.backend.Clock.At(rec.at)); hint != "" {
		rec.hint = hint
		return caller, apierr.TokenFailure.With()
	}
	if right := turn.Of(ctx).Judged(); right != nil {
		if !*right {
			err = apierr.SignatureFailure.With()
		}
		return caller, err
	}
	err = g.verifier.Verify(q, claim, caller.SecretKey)
	turn.Of(ctx).Verified(err == nil)
	if err != nil {
		others := g.backend.Directory.OtherKeys(claim.SecretID, mostOthers)
		rec.mismatch = journal.ClipTo(tc3.Explain(q, claim, caller.SecretKey, others), 2*journal.MaxClip)
	}
	return caller, err
}

// checkFresh refuses a call that was signed too long ago, or in the future, by
// wall time.
func (g *Gateway) checkFresh(q *tc3.Request, rec *record) error {
	err := q.CheckFresh(rec.at)
	if err != nil {
		signed := time.Unix(q.Timestamp, 0).UTC()
		rec.hint = fmt.Sprintf("the timestamp of the signature, %s, is more than %s from this machine's clock, %s: set the caller's clock right (the virtual clock, %s, doesn't matter here)",
			signed.Format(time.RFC3339), tc3.MaxSkew, rec.at.UTC().Format(time.RFC3339), g.backend.Clock.At(rec.at).UTC().Format(time.RFC3339))
	}
	return err
}

// tokenHint says what is wrong with the token of a call, "" for nothing.
func tokenHint(c *account.Caller, token string, now time.Time) string {
	switch {
	case c.Token == token && c.Orphan:
		return "the role, or the key that asked for these temporary keys, no longer exists: get new ones"
	case c.Token == token && c.Expired(now):
		end := time.Unix(0, c.ExpiresAt).UTC().Format(time.RFC3339)
		return "the temporary keys expired at " + end + " by the virtual clock: get new ones"
	case c.Token == token:
		return ""
	case token == "":
		return "the keys are temporary and the call has no token: set X-TC-Token"
	case c.Token == "":
		return "the keys are permanent and the call has a token: send none"
	}
	return "the token is not that of the keys"
}

// mostOthers is how many other credentials are tried against a wrong signature.
const mostOthers = 1000
